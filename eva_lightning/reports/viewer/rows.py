"""The list of the viewer: a row for each trajectory, and what it is judged by. Two runs are matched here.

Grading is that of the metrics: a trajectory that a fault ended, or whose task has no gold answer, is
ungraded and in no denominator. What a trajectory looks like when it is opened is `detail.py`'s business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from eva_lightning.records import Task, Trajectory
from eva_lightning.scoring import Verdict, canonical, score

Grade = Literal["right", "wrong", "ungraded"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An attempt, and the one of another run at the same task with the same number."""

    here: Trajectory
    """The attempt of the run that is viewed."""
    there: Trajectory | None = None
    """That of the other run; None without one."""

    @property
    def sides(self) -> tuple[Trajectory, ...]:
        return (self.here,) if self.there is None else (self.here, self.there)


def pair(here: Sequence[Trajectory], there: Sequence[Trajectory]) -> tuple[list[Pair], int]:
    """Every attempt of `here` with its partner, and how many of `there` are nobody's.

    Partners have task and replica in common; where a run holds several of these, the first goes with the
    first. They are shown with the same clips, those of `here`, wherever the other run found its own.
    """
    others = dict(zip(_keys(there), there, strict=True))
    pairs = []
    for key, one in zip(_keys(here), here, strict=True):
        other = others.pop(key, None)
        if other is not None:
            other = replace(other, task=replace(other.task, clips=one.task.clips))
        pairs.append(Pair(here=one, there=other))
    return pairs, len(others)


def _keys(trajectories: Iterable[Trajectory]) -> list[tuple[str, int, int]]:
    met: Counter[tuple[str, int]] = Counter()
    keys = []
    for one in trajectories:
        keys.append((one.task.id, one.replica, met[one.task.id, one.replica]))
        met[one.task.id, one.replica] += 1
    return keys


def verdict(trajectory: Trajectory) -> Verdict | None:
    """How good its answer is; None where there is nothing to grade."""
    if trajectory.task.answer is None or trajectory.stop == "fault":
        return None
    return score(trajectory.task, trajectory.answer)


def grade(judged: Verdict | None) -> Grade:
    if judged is None:
        return "ungraded"
    return "right" if judged.correct else "wrong"


def gold(task: Task) -> str | None:
    """The gold answer as a person reads it: "B. red", "12.0 to 20.0"; None where it is not known."""
    if task.answer is None:
        return None
    bare = replace(task.answer, grounds=())
    plain = canonical(bare)
    if bare.kind == "choice" and task.options:
        plain = f"{plain}. {task.options[task.letters.index(plain)]}"
    seconds = " and ".join(f"{start:g} to {end:g}" for start, end in task.answer.grounds)
    return f"{plain} ({seconds} s)" if seconds else plain


def row(one: Pair) -> dict[str, Any]:
    """What the list shows, filters, sorts and searches by."""
    task = one.here.task
    return {
        "task": task.id,
        "replica": one.here.replica,
        "source": task.source,
        "question": task.question,
        "gold": gold(task),
        "sides": [_side(trajectory) for trajectory in one.sides],
    }


def _side(trajectory: Trajectory) -> dict[str, Any]:
    return {
        "answer": trajectory.answer,
        "grade": grade(verdict(trajectory)),
        "fault": trajectory.stop == "fault",
        "stop": trajectory.stop or "running",
        "reward": trajectory.reward if trajectory.scores else None,
        "rounds": trajectory.rounds,
        "frames": len(trajectory.frames),
        "tokens": trajectory.visual_tokens,
    }
