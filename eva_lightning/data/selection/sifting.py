"""Sifting: which tasks are worth training on, neither too easy nor out of reach, by what was made of them.

VITAL drops a task that all of eight attempts solve, or none; TimeSearch-R drops one that a few uniform frames
solve without a search, or that no search solves. Counts in, verdicts out; no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from eva_lightning.records import Task, Trajectory
from eva_lightning.scoring import score

SiftCause = Literal["no gold answer", "too few attempts", "all wrong", "all right", "needs no search"]
"""can not be judged | fewer sound attempts than wanted | no search solves it | every attempt solves it |
uniform frames solve it."""


@dataclass(frozen=True, kw_only=True)
class SolveRate:
    """Attempts at one task; those that a fault ended are not among them."""

    right: int = 0
    """How many were right."""
    attempts: int = 0
    """How many there were."""

    @property
    def rate(self) -> float | None:
        """Share of right ones; None without any attempt."""
        return self.right / self.attempts if self.attempts else None


@dataclass(frozen=True, kw_only=True)
class SiftRules:
    """Where the borders are."""

    least: int = 4
    """Sound attempts without which nothing is said of a task."""
    keep_few: bool = False
    """Keep tasks with fewer, instead of dropping them."""
    uniform_rate: float = 0.5
    """A task needs no search if at least this share of its attempts with uniform frames is right."""

    def __post_init__(self) -> None:
        if self.least < 1 or not 0 < self.uniform_rate <= 1:
            raise ValueError(
                f"least {self.least}, uniform_rate {self.uniform_rate:g}: want 1 or more, and more than 0 "
                "to 1"
            )


@dataclass(frozen=True, kw_only=True)
class Sifted:
    """A task and what became of it."""

    task: Task
    """If it is kept and was attempted, its extra says `solved`: [right, attempts]."""
    cause: SiftCause | None
    """Why it is dropped, or "too few attempts" of one that is kept all the same; None if it is kept."""
    solved: SolveRate
    """Its attempts."""
    kept: bool
    """Whether it is worth training on."""


def solve_rates(tasks: Sequence[Task], attempts: Iterable[Trajectory]) -> dict[str, SolveRate]:
    """Right and sound attempts by task id, judged by the gold answers of `tasks`.

    ValueError if an attempt was made at another question of the same id; attempts at other tasks are passed
    over.
    """
    known = {task.id: task for task in tasks}
    rates: dict[str, SolveRate] = {}
    for one in attempts:
        task = known.get(one.task.id)
        if task is None or task.answer is None or one.stop in (None, "fault"):
            continue
        if task.text != one.task.text:
            raise ValueError(
                f"attempt {one.replica} at task {task.id!r} is at another question "
                f"({one.task.question[:60]!r} instead of {task.question[:60]!r})"
            )
        solved = rates.get(task.id, SolveRate())
        right = solved.right + score(task, one.answer if one.stop == "answered" else None).correct
        rates[task.id] = SolveRate(right=right, attempts=solved.attempts + 1)
    return rates


def sift(
    tasks: Sequence[Task],
    attempts: Mapping[str, SolveRate],
    uniform: Mapping[str, SolveRate] | None = None,
    rules: SiftRules | None = None,
) -> list[Sifted]:
    """What becomes of each task, in order.

    >>> from eva_lightning.records import Answer, Clip
    >>> def task(id):
    ...     clip = Clip(id="v", path="v.mp4")
    ...     return Task(id=id, clips=(clip,), question="?", answer=Answer(kind="text", value="x"))
    >>> rates = {"a": SolveRate(right=3, attempts=8), "b": SolveRate(right=8, attempts=8)}
    >>> [(one.task.id, one.cause, one.kept) for one in sift([task("a"), task("b")], rates)]
    [('a', None, True), ('b', 'all right', False)]
    """
    rules = rules or SiftRules()
    sifted = []
    for task in tasks:
        solved = attempts.get(task.id, SolveRate())
        cause = _cause(task, solved, (uniform or {}).get(task.id, SolveRate()), rules)
        kept = cause is None or (cause == "too few attempts" and rules.keep_few)
        if kept and solved.attempts:
            task = replace(task, extra={**task.extra, "solved": [solved.right, solved.attempts]})
        sifted.append(Sifted(task=task, cause=cause, solved=solved, kept=kept))
    return sifted


def _cause(task: Task, solved: SolveRate, uniform: SolveRate, rules: SiftRules) -> SiftCause | None:
    if task.answer is None:
        return "no gold answer"
    if uniform.rate is not None and uniform.rate >= rules.uniform_rate:
        return "needs no search"
    if solved.attempts < rules.least:
        return "too few attempts"
    if solved.right == 0:
        return "all wrong"
    return "all right" if solved.right == solved.attempts else None


def histogram(sifted: Iterable[Sifted]) -> list[tuple[str, int]]:
    """How many tasks have which solve rate: none right, four quarters in between, all right.

    Tasks without a sound attempt are left out.
    """
    names = ("none", "to 25%", "to 50%", "to 75%", "below 100%", "all")
    counts = [0] * len(names)
    for one in sifted:
        if one.solved.attempts:
            right, attempts = one.solved.right, one.solved.attempts
            between = min((4 * right + attempts - 1) // attempts, 4)
            counts[0 if right == 0 else 5 if right == attempts else between] += 1
    return list(zip(names, counts, strict=True))
