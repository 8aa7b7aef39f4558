"""A question under way: one or two agents answer it in a thread, and whoever watches is told what is new.

What is told is a copy of how far they are, so that nobody draws what is being written.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from threading import Condition, Lock
from typing import Any

from eva_lightning.agent.rollout import Agent, Job, derive_seed, rollout
from eva_lightning.agent.worlds.base import World
from eva_lightning.engines.background import SideBySide, UnderWay
from eva_lightning.faults import Fault, UsageError, first_line
from eva_lightning.records import Clip, Task, Trajectory
from eva_lightning.reports.app.uploads import Video
from eva_lightning.reports.viewer.detail import detail
from eva_lightning.reports.viewer.rows import Pair
from eva_lightning.reports.viewer.thumbnails import Album, ThumbnailSettings

STOPPED = "stopped by its reader"


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """Who answers."""

    name: str
    """What the page calls it."""
    agent: Agent
    """Its engine, tools and world."""


class Asking:
    """One question to every speaker at once, from its opening to the answers."""

    def __init__(
        self,
        number: int,
        video: Video,
        question: str,
        speakers: list[Speaker],
        pictures: World,
        seed: int = 0,
    ) -> None:
        """
        Args:
            number: Which question of this app it is, from 1.
            video: What is asked about.
            question: In the words of its reader, options included.
            speakers: Who answers, one or two.
            pictures: Where the frames that were watched are read again, to be shown.
            seed: Dice for temperatures above 0.
        """
        self.number, self.video, self._speakers = number, video, speakers
        task = Task(id=video.name, clips=(Clip(id="video", path=str(video.path)),), question=question)
        self._job = Job(task=task, seed=derive_seed(seed, 0, task.id, 0))
        self._sides = [Trajectory(task=task, prompt=(), seed=self._job.seed) for _ in speakers]
        self._problems: list[str | None] = [None for _ in speakers]
        self._left = len(speakers)
        self._version = 0
        self._changed = Condition()
        self._album, self._drawing = Album(pictures, ThumbnailSettings()), Lock()
        self._under_way: list[UnderWay[list[Trajectory]]] = []

    def begin(self, loop: SideBySide) -> None:
        """Let them answer, side by side in the loop's thread."""
        for place, speaker in enumerate(self._speakers):
            keep = partial(self._keep, place)
            work = rollout(
                [self._job], speaker.agent, on_growth=keep, on_finish=keep, slots=asyncio.Semaphore(1)
            )
            under_way = loop.begin(work)
            self._under_way.append(under_way)
            under_way.outcome.add_done_callback(partial(self._settle, place))

    def stop(self, loop: SideBySide) -> None:
        """It is not wanted any more; what was written stays."""
        for under_way in self._under_way:
            loop.end(under_way)

    @property
    def done(self) -> bool:
        """Whether nobody writes any more."""
        return self._left == 0

    def wait(self, version: int, seconds: float) -> int:
        """Until there is something newer than `version`, or so long: which one there is now."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > version, seconds)
            return self._version

    def shown(self) -> dict[str, Any]:
        """How far they are, as plain JSON values for the page."""
        with self._changed:
            sides, problems, done = list(self._sides), list(self._problems), self.done
        with self._drawing:
            here, there = sides[0], sides[1] if len(sides) > 1 else None
            told = detail(Pair(here=here, there=there), self._album)
            shelves = [{"problem": one.problem, "pictures": one.pictures} for one in self._album.shelves]
        told["task"]["clips"][0]["file"] = self.video.name
        return {**told, "run": self.number, "shelves": shelves, "problems": problems, "done": done}

    def _keep(self, place: int, made: Trajectory) -> None:
        """In the loop's thread, between two steps: nobody writes to it now."""
        copy = replace(made, turns=[replace(turn) for turn in made.turns], faults=list(made.faults))
        with self._changed:
            self._sides[place] = copy
            self._tell()

    def _settle(self, place: int, outcome: Future[list[Trajectory]]) -> None:
        problem = outcome.exception()
        with self._changed:
            self._problems[place] = None if problem is None else _said(problem)
            self._left -= 1
            self._tell()

    def _tell(self) -> None:
        self._version += 1
        self._changed.notify_all()


def _said(problem: BaseException) -> str:
    """One line for the page; of a bug the terminal gets all."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    if isinstance(problem, asyncio.CancelledError):
        return STOPPED
    if not isinstance(problem, UsageError | Fault):
        traceback.print_exception(problem, file=sys.stderr)
        return f"a bug ended it, and the terminal of eva app has its traces: {first_line(problem, 200)}"
    return str(problem)
