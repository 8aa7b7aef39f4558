"""A caller: somebody who waits for a reply while a thread asks for it, and who may leave.

He leaves when nobody awaits the reply any more, or when the engine is closed. Then the thread is woken
wherever it waits: in a pause, or for a server. Nothing is asked in the name of a caller who has left, so that
a thread ends soon after nobody wants what it does.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")


class NobodyWaits(Exception):
    """The caller has left: what was asked in his name is not wanted any more."""


class Caller:
    """One who waits; his thread tells him what it waits for, any other may say that he leaves."""

    def __init__(self) -> None:
        self._gone = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    @property
    def gone(self) -> bool:
        """Whether he has left."""
        return self._gone.is_set()

    def leave(self) -> None:
        """He waits no longer; a connection on which a reply was awaited is closed."""
        with self._lock:
            self._gone.set()
            if self._socket is not None:
                with suppress(OSError):  # it was not connected yet, or is no longer
                    self._socket.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """NobodyWaits if he has left."""
        if self.gone:
            raise NobodyWaits

    def pause(self, seconds: float) -> None:
        """Sleep; NobodyWaits as soon as he leaves."""
        if self._gone.wait(seconds):
            raise NobodyWaits

    @contextmanager
    def waiting_on(self, connection: socket.socket) -> Iterator[None]:
        """Meanwhile his leaving closes this connection."""
        with self._lock:
            self.check()
            self._socket = connection
        try:
            yield
        finally:
            with self._lock:
                self._socket = None


class Asking:
    """Threads that ask, each in the name of a caller."""

    def __init__(self, most: int, name: str) -> None:
        """At most so many ask at once."""
        self._threads = ThreadPoolExecutor(most, thread_name_prefix=name)
        self._callers: set[Caller] = set()

    async def hear(self, work: Callable[[Caller], T]) -> T:
        """What `work` makes in a thread, while it is awaited: its caller leaves when that is cancelled."""
        caller = Caller()
        self._callers.add(caller)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, caller)
        finally:
            self._callers.discard(caller)
            caller.leave()

    def close(self) -> None:
        """Nobody waits any longer, so that the threads end: a process waits for them at its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for caller in list(self._callers):
            caller.leave()
