"""The crew that does the chores of one call on several threads.

A call never waits for a helper that has not begun: the caller's own thread takes back whatever no helper has
started, so a busy crew costs nothing. Threads only; what is in a chore is the frame store's business.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

CHORES_EACH = 3
"""Chores of a call for each thread; several, because some take longer than others."""

Chore = Callable[[], None]


class DecodingCrew:
    """The caller's thread and a few helpers. Thread-safe."""

    def __init__(self, helpers: int) -> None:
        self._size = helpers + 1
        self._calls = 0
        self._lock = threading.Lock()  # guards the number of calls
        self.chores = CHORES_EACH * self._size
        """Into how many chores a call is best cut."""
        self._threads = ThreadPoolExecutor(helpers, thread_name_prefix="decode") if helpers > 0 else None

    @property
    def spare(self) -> int:
        """Threads that one more call could count on: its own where other calls are on their way, else all."""
        return 1 if self._calls else self._size

    def run(self, chores: Sequence[Chore]) -> None:
        """Do every chore once, side by side."""
        with self._lock:
            self._calls += 1
        try:
            self._side_by_side(chores)
        finally:
            with self._lock:
                self._calls -= 1

    def close(self) -> None:
        """Let the helpers finish what they began; a call that is on its way goes on without them."""
        if self._threads is not None:
            self._threads.shutdown()

    def _side_by_side(self, chores: Sequence[Chore]) -> None:
        tasks = [(chore, self._hand_out(chore)) for chore in chores[1:]]
        try:
            for chore in chores[:1]:
                chore()
            for chore, task in reversed(tasks):  # helpers begin with the first ones
                if task is None or task.cancel():
                    chore()
            for _, task in tasks:
                if task is not None and not task.cancelled():
                    task.result()
        except BaseException:
            for _, task in tasks:
                if task is not None:
                    task.cancel()
            raise

    def _hand_out(self, chore: Chore) -> Future[None] | None:
        """A helper's promise; None if there is no helper."""
        if self._threads is None:
            return None
        try:
            return self._threads.submit(chore)
        except RuntimeError:  # closed while this call was on its way
            return None
