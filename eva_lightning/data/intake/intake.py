"""Intake: rows taken in one after another, for training and for benchmarks alike.

One that can not be asked is refused, or put aside with its cause.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.questions import tasks_of
from eva_lightning.data.intake.row import Row
from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.data.intake.video_folder import MISSING, VideoFolder
from eva_lightning.faults import UsageError
from eva_lightning.records import Task

Treatment = Literal["refuse", "skip"]
"""What becomes of a row that can not be asked: the end of it all, or counted and left out."""


@dataclass(frozen=True, kw_only=True)
class BrokenRow:
    """A row that was left out."""

    place: str
    """Where it stands: "file.jsonl:12"."""
    cause: str
    """One of a few, so that they can be counted."""
    detail: str
    """What exactly was found."""


class Intake:
    """Rows taken in so far."""

    def __init__(
        self, shape: RowShape, videos: VideoFolder, missing: Treatment = "skip", bad: Treatment = "skip"
    ) -> None:
        """
        Args:
            shape: Which column says what.
            videos: Where the videos are.
            missing: What becomes of a row whose video is not there.
            bad: What becomes of any other row that can not be asked.
        """
        self.shape, self.videos, self.missing, self.bad = shape, videos, missing, bad
        self.rows = 0
        self.ids: set[str] = set()
        self.columns: dict[str, None] = {}  # in the order in which they came up
        self.broken: list[BrokenRow] = []
        self.kinds: Counter[tuple[str, str]] = Counter()
        """Tasks by source and kind of answer."""
        self.seconds: dict[str, float | None] = {}
        """Length of each video; None where no row says it."""

    def take(self, row: Row, name: str) -> list[Task]:
        """The tasks of a row; none if it is left out. `name` is their source where the shape has none."""
        self.rows += 1
        self.columns |= dict.fromkeys(row.values)
        try:
            if row.problem is not None:
                raise row.problem
            made = list(tasks_of(row.values, self.shape, self.videos, self.shape.name or name, self.rows))
            again = next((task.id for task in made if task.id in self.ids), None)
            if again is not None:
                column = self.shape.id or "number"
                raise BadRow("duplicate id", f"{column}: {again} came before; shape.id null numbers the rows")
        except BadRow as problem:
            self._refuse(row, problem)
            return []
        for task in made:
            self._count(task)
        return made

    def _refuse(self, row: Row, problem: BadRow) -> None:
        lost = problem.cause == MISSING
        if (self.missing if lost else self.bad) == "refuse":
            word = "--missing skip" if lost else "--bad skip"
            raise UsageError(f"{row.place}: {problem.detail} ({word} leaves such rows out)") from None
        self.broken.append(BrokenRow(place=row.place, cause=problem.cause, detail=problem.detail))

    def _count(self, task: Task) -> None:
        self.ids.add(task.id)
        self.kinds[task.source, task.answer.kind if task.answer else "unknown"] += 1
        for clip in task.clips:
            self.seconds[clip.path] = task.extra.get("duration", self.seconds.get(clip.path))
