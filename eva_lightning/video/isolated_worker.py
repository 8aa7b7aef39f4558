"""The worker: a process that reads videos for another one, and that may die of them.

It holds one open video, serves one request at a time and ends with whoever started it. Who asks, and what
becomes of a worker that does not answer, is the isolation's business.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eva_lightning.faults import NoSound, VideoError
from eva_lightning.video.audio import read_audio
from eva_lightning.video.decoder import Decoder
from eva_lightning.video.packet_index import ARRAYS, PacketIndex, build_index
from eva_lightning.video.pyav_decoder import PyAVDecoder
from eva_lightning.video.wire import Arrays, receive, send

MEMORY_BYTES = 8 << 30
"""Address space of a worker: a file that makes it want more is refused and takes no memory from others."""

GRACE = 5.0
"""Seconds after the deadline at which it ends itself: by then whoever asked is gone."""

PATIENCE = 5.0
"""Seconds between two looks whether whoever started it is still there."""


Told = tuple[dict[str, Any], Sequence[NDArray[Any]]]
"""An answer, in words and arrays."""


class Reader:
    """The open video, and what can be asked of it."""

    def __init__(self) -> None:
        self._decoder: Decoder | None = None

    def answer(self, asked: dict[str, Any], arrays: Arrays) -> Told:
        """What is asked, or why it can not be had."""
        try:
            return DOINGS[asked.pop("do")](self, arrays, **asked)
        except NoSound as fault:
            return {"silent": str(fault)}, ()
        except VideoError as fault:
            return {"fault": str(fault)}, ()
        except MemoryError:
            return {"memory": MEMORY_BYTES}, ()
        except Exception:  # a bug of ours, which crashes where it was asked for
            return {"bug": traceback.format_exc()}, ()

    def index(self, _: Arrays, path: str) -> Told:
        """The packets of a file."""
        return packed(build_index(path))

    def open(
        self, arrays: Arrays, path: str, index: dict[str, Any], max_frame_pixels: int, threads: int
    ) -> Told:
        """Open a video, instead of the one that is open."""
        self.close()
        self._decoder = PyAVDecoder(
            path, max_frame_pixels=max_frame_pixels, threads=threads, index=unpacked(index, arrays)
        )
        return {"facts": asdict(self._decoder.facts)}, ()

    def frames(self, _: Arrays, times: list[float], height: int, width: int, coarse: bool) -> Told:
        """Frames of the open video."""
        assert self._decoder is not None, "a video is opened before frames are asked of it"
        frames = self._decoder.frames(times, height, width, coarse=coarse)
        told = [[frame.time, frame.note] for frame in frames]
        return {"frames": told}, [frame.pixels for frame in frames]

    def sound(self, _: Arrays, path: str, start: float, end: float, rate: int) -> Told:
        """The sound of a file."""
        return {}, [np.asarray(read_audio(path, start, end, rate))]

    def close(self, _: Arrays | None = None) -> Told:
        """Give the file back."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.close()
        return {}, ()


DOINGS: dict[str, Callable[..., Told]] = {
    "index": Reader.index,
    "open": Reader.open,
    "frames": Reader.frames,
    "sound": Reader.sound,
    "close": Reader.close,
}
"""What a request may name."""


def packed(index: PacketIndex) -> Told:
    """An index as it goes over the wire."""
    rest = {"end": index.end, "tick": index.tick, "generated": index.generated}
    return rest, [getattr(index, name) for name in ARRAYS]


def unpacked(words: dict[str, Any], arrays: Arrays) -> PacketIndex:
    """The index that `packed` made so."""
    fields: dict[str, Any] = words | dict(zip(ARRAYS, arrays, strict=True))
    return PacketIndex(**fields)


def serve(wire: socket.socket, deadline: float) -> None:
    """Answer until nobody is there any more."""
    reader, parent = Reader(), os.getppid()
    send(wire, {"ready": True})
    while _asked(wire, parent):
        # The kernel ends a worker that hangs, whoever has died meanwhile.
        signal.setitimer(signal.ITIMER_REAL, deadline + GRACE)
        words, arrays = receive(wire)
        send(wire, *reader.answer(words, arrays))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _asked(wire: socket.socket, parent: int) -> bool:
    """Whether there is a request; waits for one as long as whoever started this process lives."""
    while os.getppid() == parent:
        if select.select([wire], [], [], PATIENCE)[0]:
            return True
    return False


def main() -> None:
    """Take up the wire that the command line names."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY_BYTES if most == resource.RLIM_INFINITY else min(MEMORY_BYTES, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        with socket.socket(fileno=int(sys.argv[1])) as wire:
            serve(wire, float(sys.argv[2]))
    except (EOFError, ConnectionError):
        return  # whoever asked is gone


if __name__ == "__main__":
    main()
