"""The wire to a process that reads videos: messages of JSON and plain arrays, each with a deadline.

Nothing is pickled, and what comes is held against what may come: the other end has read a file of a stranger.
What is said on it is the isolation's business.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Sequence
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = list[NDArray[Any]]

KINDS = ("uint8", "bool", "int64", "float32")
"""What arrays may be made of."""

LONGEST_TEXT = 16 << 20
"""Bytes of JSON in one message."""

LARGEST = 4 << 30
"""Bytes of all arrays in one message."""

_LENGTH = struct.Struct(">Q")


def send(
    wire: socket.socket, words: dict[str, Any], arrays: Sequence[NDArray[Any]] = (), until: float = math.inf
) -> None:
    """Send a message; TimeoutError once `until` (of the monotonic clock) has passed."""
    laid = [np.ascontiguousarray(array) for array in arrays]
    kinds = [[array.dtype.name, list(array.shape)] for array in laid]
    text = json.dumps([words, kinds]).encode()
    pixels = (array.reshape(-1).view(np.uint8).data for array in laid)
    for left in (memoryview(_LENGTH.pack(len(text)) + text), *pixels):
        while left:
            _wait_no_longer(wire, until)
            left = left[wire.send(left) :]


def receive(wire: socket.socket, until: float = math.inf) -> tuple[dict[str, Any], Arrays]:
    """The next message; EOFError if the other end is gone, ValueError if it talks nonsense."""
    (length,) = _LENGTH.unpack(_bytes(wire, _LENGTH.size, until))
    if length > LONGEST_TEXT:
        raise ValueError(f"a message of {length} bytes")
    words, kinds = json.loads(_bytes(wire, length, until))
    shapes = [(kind, tuple(map(int, shape))) for kind, shape in kinds]
    if any(kind not in KINDS or min(shape, default=0) < 0 for kind, shape in shapes):
        raise ValueError(f"arrays of {shapes[:3]}")
    if sum(math.prod(shape) * np.dtype(kind).itemsize for kind, shape in shapes) > LARGEST:
        raise ValueError("arrays that are too large")
    arrays: Arrays = []
    for kind, shape in shapes:
        array = np.empty(shape, dtype=kind)
        _fill(wire, array.reshape(-1).view(np.uint8).data, until)
        arrays.append(array)
    return words, arrays


def _bytes(wire: socket.socket, count: int, until: float) -> bytes:
    held = bytearray(count)
    _fill(wire, memoryview(held), until)
    return bytes(held)


def _fill(wire: socket.socket, left: memoryview, until: float) -> None:
    while left:
        _wait_no_longer(wire, until)
        count = wire.recv_into(left)
        if not count:
            raise EOFError
        left = left[count:]


def _wait_no_longer(wire: socket.socket, until: float) -> None:
    if until == math.inf:
        wire.settimeout(None)
        return
    seconds = until - monotonic()
    if seconds <= 0:
        raise TimeoutError
    wire.settimeout(seconds)
