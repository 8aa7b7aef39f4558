"""The rollouts under way before they are wanted: batch after batch, in the order in which they will be.

They are made in one thread, and share the number of trajectories under way: one that is wanted earlier goes
first, and the bulk of the next ones is written while its last few go on. Which batches, and with which
weights, is decided elsewhere (grpo, RolloutRefresh).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Generic, TypeVar

from eva_lightning.agent.rollout import threads_for
from eva_lightning.engines.background import SideBySide, UnderWay

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted(Generic[T]):
    """A batch that will be wanted."""

    key: tuple[Any, ...]
    """What it is of: where this differs, it is another batch."""
    make: Callable[[asyncio.Semaphore], Coroutine[Any, Any, T]]
    """Makes it, with a slot of these for each trajectory under way."""


class Ahead(Generic[T]):
    """The batches in the background, oldest first."""

    def __init__(self, concurrency: int) -> None:
        """
        Args:
            concurrency: Trajectories under way at once, of all batches together.
        """
        self._concurrency = concurrency
        self._together: SideBySide | None = None
        self._batches: deque[tuple[tuple[Any, ...], UnderWay[T]]] = deque()

    def __len__(self) -> int:
        return len(self._batches)

    def begin(self, wanted: Sequence[Wanted[T]]) -> None:
        """Have these under way, and no others: those that were are given up, from the first that differs."""
        if self._together is None:
            self._together = SideBySide(threads_for(self._concurrency))
            self._slots = asyncio.Semaphore(self._concurrency)
        pairs = zip(self._batches, wanted, strict=False)
        alike = len(list(takewhile(lambda pair: pair[0][0] == pair[1].key, pairs)))
        while len(self._batches) > alike:
            self._together.end(self._batches.pop()[1])
        for one in wanted[alike:]:
            self._batches.append((one.key, self._together.begin(one.make(self._slots))))

    def first(self) -> UnderWay[T]:
        """The oldest, which is not ours any more."""
        return self._batches.popleft()[1]

    def wait(self) -> None:
        """Until all have ended, well or not."""
        for _, batch in self._batches:
            batch.wait()

    def drop(self) -> None:
        """End them all: nobody will want them."""
        self._batches.clear()
        if self._together is not None:
            self._together.close()
            self._together = None
