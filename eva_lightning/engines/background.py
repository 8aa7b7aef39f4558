"""Work in a thread of its own while the caller goes on: the next rollout, or tasks that an author writes.

What is made there, and whether it is still wanted in the end, is the caller's business.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Work under way: a plain function, or a coroutine in an event loop that nobody else uses.

    Its thread ends with the process, whether the work has ended or not.
    """

    def __init__(self, work: Callable[[], T] | Coroutine[Any, Any, T]) -> None:
        self.seconds = 0.0
        self._outcome: Future[T] = Future()
        self._task: asyncio.Task[T] | None = None
        self._do = self._spin if isinstance(work, Coroutine) else work
        if isinstance(work, Coroutine):
            self._loop = asyncio.new_event_loop()
            self._task = self._loop.create_task(work)
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._outcome.done()

    @property
    def problem(self) -> BaseException | None:
        """What went wrong; None as long as nothing did."""
        return self._outcome.exception() if self.done else None

    def wait(self, seconds: float | None = None) -> None:
        """Until it has ended, or so long; None waits however long it takes."""
        self._thread.join(seconds)

    def result(self) -> T:
        """What was made, or what went wrong."""
        self.wait()
        return self._outcome.result()

    def drop(self) -> None:
        """It is not wanted any more: end it, and wait until it has let go of everything.

        A plain function can not be ended from outside: it is waited for.
        """
        if self._task is not None:
            with suppress(RuntimeError):  # the loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._task.cancel)
        self.wait()

    def _run(self) -> None:
        began = time.perf_counter()
        try:
            made = self._do()
        except BaseException as problem:  # it is raised again where somebody wants the result
            self.seconds = time.perf_counter() - began
            self._outcome.set_exception(problem)
        else:
            self.seconds = time.perf_counter() - began
            self._outcome.set_result(made)

    def _spin(self) -> T:
        assert self._task is not None
        try:
            self._loop.run_until_complete(asyncio.wait([self._task]))
            self._loop.run_until_complete(self._loop.shutdown_default_executor())  # tools may still look
        finally:
            self._loop.close()
        return self._task.result()
