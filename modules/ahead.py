"""The work ahead: something asynchronous, as the next rollout, made in a thread while the caller goes on.

What is made there, and whether it is still wanted in the end, is the caller's business.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Work under way, in an event loop that nobody else uses."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.seconds = 0.0
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(work)
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until it has ended, well or not."""
        self._thread.join()

    def result(self) -> T:
        """What was made, or what went wrong."""
        self.wait()
        return self._task.result()

    def drop(self) -> None:
        """It is not wanted any more: end it, and wait until it has let go of everything."""
        with suppress(RuntimeError):  # the loop is closed: it has ended
            self._loop.call_soon_threadsafe(self._task.cancel)
        self.wait()

    def _run(self) -> None:
        began = time.perf_counter()
        try:
            self._loop.run_until_complete(asyncio.wait([self._task]))
            self._loop.run_until_complete(self._loop.shutdown_default_executor())  # tools may still look
        finally:
            self.seconds = time.perf_counter() - began
            self._loop.close()
