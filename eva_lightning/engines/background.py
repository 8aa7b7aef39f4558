"""Work in a thread of its own while the caller goes on: tasks that an author writes, rollouts side by side.

What is made there, and whether it is still wanted in the end, is the caller's business.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as ended
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class UnderWay(Generic[T]):
    """Work under way in another thread."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.outcome: Future[T] = Future()

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.outcome.done()

    @property
    def problem(self) -> BaseException | None:
        """What went wrong; None as long as nothing did."""
        return self.outcome.exception() if self.done else None

    def wait(self, seconds: float | None = None) -> None:
        """Until it has ended, or so long; None waits however long it takes."""
        ended([self.outcome], seconds)

    def result(self) -> T:
        """What was made, or what went wrong."""
        return self.outcome.result()


class Background(UnderWay[T]):
    """A plain function in a thread, which ends with the process, whether the work has ended or not."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__()
        self._work = work
        threading.Thread(target=self._run, name="background", daemon=True).start()

    def _run(self) -> None:
        began = time.perf_counter()
        try:
            made = self._work()
        except BaseException as problem:  # it is raised again where somebody wants the result
            self.seconds = time.perf_counter() - began
            self.outcome.set_exception(problem)
        else:
            self.seconds = time.perf_counter() - began
            self.outcome.set_result(made)


class SideBySide:
    """Coroutines in one thread and one event loop of their own; they share what belongs to a loop."""

    def __init__(self, threads: int) -> None:
        """
        Args:
            threads: At hand in the loop, for what coroutines do in threads.
        """
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(threads, thread_name_prefix="tool"))
        self._tasks: dict[UnderWay[Any], asyncio.Task[Any]] = {}
        self._thread = threading.Thread(target=self._spin, name="background", daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, T]) -> UnderWay[T]:
        """Has it done beside what is under way already."""
        begun = UnderWay[T]()
        self._loop.call_soon_threadsafe(self._start, work, begun)
        return begun

    def end(self, begun: UnderWay[Any]) -> None:
        """This one is not wanted any more; what it did in threads may go on for a moment."""
        self._loop.call_soon_threadsafe(self._cancel, begun)
        begun.wait()

    def close(self) -> None:
        """Nothing is wanted any more: end it, and wait until all of it has let go of everything."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # the loop was closed: somebody else did this
                self._loop.call_soon_threadsafe(self._end)
            self._thread.join()

    def _start(self, work: Coroutine[Any, Any, T], begun: UnderWay[T]) -> None:
        task = self._loop.create_task(work)
        self._tasks[begun] = task
        task.add_done_callback(partial(self._settle, begun, time.perf_counter()))

    def _settle(self, begun: UnderWay[T], began: float, task: asyncio.Task[T]) -> None:
        del self._tasks[begun]
        begun.seconds = time.perf_counter() - began
        if task.cancelled():
            begun.outcome.set_exception(asyncio.CancelledError())
        elif (problem := task.exception()) is not None:
            begun.outcome.set_exception(problem)
        else:
            begun.outcome.set_result(task.result())

    def _cancel(self, begun: UnderWay[Any]) -> None:
        if begun in self._tasks:
            self._tasks[begun].cancel()

    def _end(self) -> None:
        """In the loop: cancel all, and stop when they have ended."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        self._closing = self._loop.create_task(self._leave(tasks))

    async def _leave(self, tasks: list[asyncio.Task[Any]]) -> None:
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_default_executor()  # tools may still look
        self._loop.stop()

    def _spin(self) -> None:
        try:
            while True:
                with suppress(SystemExit, KeyboardInterrupt):  # they stop the loop, and belong to one task
                    self._loop.run_forever()
                    return
        finally:
            self._loop.close()
