"""Causes: where a policy fails, and why; its trajectories to failures by cause, and those to clusters.

Pure functions over records. Faults of ours are no failures of the policy. A failure is small (the frames and
tokens of its trajectory are told in a line), so that many of them fit into a checkpoint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from eva_lightning.data.selection.outcome import outcome
from eva_lightning.records import Task, Trajectory

FailureCause = Literal["wrong", "guessed", "budget exhausted", "malformed", "no answer"]
"""looked at the evidence, and is wrong | answered without a look at the evidence, or at anything | ran into
the limit of turns or of tokens | made calls, and none of them worked | stopped without an answer."""

LIMITS = ("turn_limit", "turn_cut", "token_limit")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How a policy failed at a task."""

    task: Task
    """The question, with its gold answer."""
    cause: FailureCause
    """Why."""
    answer: str = ""
    """What was answered; empty if nothing was."""
    watched: str = "nothing"
    """What was looked at, in words."""
    attempts: int = 1
    """How many attempts failed for this cause; the other fields tell of the first of them."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Failures at questions of one source for one cause."""

    source: str
    """Data set or question family."""
    cause: FailureCause
    """Why they failed."""
    failures: tuple[Failure, ...]
    """One for each task."""

    @property
    def attempts(self) -> int:
        """How many attempts failed."""
        return sum(failure.attempts for failure in self.failures)


def failures_of(trajectories: Iterable[Trajectory]) -> list[Failure]:
    """The failures among some trajectories, merged: at most one for each task and cause."""
    found = []
    for one in trajectories:
        cause = cause_of(one)
        if cause is not None:
            said = one.answer if one.answer and one.stop == "answered" else ""
            found.append(Failure(task=one.task, cause=cause, answer=said, watched=_watched(one)))
    return merged(found)


def cause_of(one: Trajectory) -> FailureCause | None:
    """Why an attempt failed; None if it did not, or if nobody can say.

    A right answer counts as guessed where nothing of the known evidence was looked at.
    """
    if one.stop in (None, "fault") or one.task.answer is None:
        return None
    end = outcome(one)
    if not end.answered or not (one.answer or "").strip():
        if end.hopeless:
            return "malformed"
        return "budget exhausted" if one.stop in LIMITS else "no answer"
    if not end.correct and end.hopeless:
        return "malformed"
    if not end.looked or (one.task.evidence and one.perceived and not one.evidence_met):
        return "guessed"
    return None if end.correct else "wrong"


def merged(failures: Iterable[Failure]) -> list[Failure]:
    """One for each task and cause, in the order of their first attempts; attempts are added up."""
    first: dict[tuple[str, FailureCause], Failure] = {}
    for failure in failures:
        key = (failure.task.id, failure.cause)
        known = first.get(key)
        first[key] = failure if known is None else replace(known, attempts=known.attempts + failure.attempts)
    return list(first.values())


def clustered(failures: Iterable[Failure]) -> list[Cluster]:
    """Failures by source and cause, the most frequent first; equals by name."""
    groups: dict[tuple[str, FailureCause], list[Failure]] = {}
    for failure in merged(failures):
        groups.setdefault((failure.task.source, failure.cause), []).append(failure)
    clusters = [
        Cluster(source=source, cause=cause, failures=tuple(group))
        for (source, cause), group in groups.items()
    ]
    return sorted(clusters, key=lambda one: (-one.attempts, one.source, one.cause))


def counts_by_cause(failures: Iterable[Failure]) -> Counter[str]:
    """How many attempts failed for each cause."""
    counts: Counter[str] = Counter()
    for failure in failures:
        counts[failure.cause] += failure.attempts
    return counts


def shares(clusters: Sequence[Cluster], count: int) -> list[Cluster]:
    """`count` places dealt out to clusters by their attempts, as evenly as whole places allow.

    Three attempts failed at `a` and one at `b`, so four places are a, a, b, a.
    """
    total = sum(cluster.attempts for cluster in clusters)
    dealt: list[Cluster] = []
    given = [0] * len(clusters)
    for after in range(1, count + 1 if total else 1):
        behind = [after * one.attempts / total - had for one, had in zip(clusters, given, strict=True)]
        place = behind.index(max(behind))
        given[place] += 1
        dealt.append(clusters[place])
    return dealt


def _watched(one: Trajectory) -> str:
    """What was shown, in a line: "8 frames from 0.0 to 59.9 s"."""
    frames = one.frames
    if not frames:
        return "nothing"
    times = [frame.time for frame in frames]
    if len(times) == 1:
        return f"1 frame at {times[0]:.1f} s"
    return f"{len(times)} frames from {min(times):.1f} to {max(times):.1f} s"
