"""While rollouts run, Python's threads take turns sooner than every 5 ms.

A tool that decodes asks for its turn after every packet, hundreds of times a look. Beside an engine that
computes in Python it would wait 5 ms each time, while a core has nothing to do. The interval is the
interpreter's, so it is set by the first rollout and given back by the last one.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INTERVAL = 2e-4
"""Seconds after which a thread that wants to run Python gets its turn."""

_lock = threading.Lock()
_usual: list[float] = []  # the interval from before, once for each rollout under way


@contextmanager
def prompt_turns() -> Iterator[None]:
    """Held around a rollout."""
    with _lock:
        _usual.append(_usual[0] if _usual else sys.getswitchinterval())
        sys.setswitchinterval(min(_usual[0], INTERVAL))
    try:
        yield
    finally:
        with _lock:
            usual = _usual.pop()
            if not _usual:
                sys.setswitchinterval(usual)
