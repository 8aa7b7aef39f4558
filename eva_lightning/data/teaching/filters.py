"""Which attempts of a teacher are worth imitating, by rule. `selection/feedback.py` marks good and bad ones
for KTO, which learns from both; this keeps the good ones alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eva_lightning.data.selection.outcome import outcome
from eva_lightning.data.teaching.audits import Auditor
from eva_lightning.data.teaching.hints import leaked
from eva_lightning.records import Trajectory

DropCause = Literal[
    "fault", "no gold answer", "stopped", "malformed", "wrong", "blind", "over budget", "audited", "leaked"
]
"""ended by a fault | can not be judged | ended without an answer | a call went wrong | wrong answer |
answered without a look | took more than was allowed | a call breaks a rule | gives the briefing away."""


@dataclass(frozen=True, kw_only=True)
class KeepRules:
    """What a good attempt may take, beside being right and well-formed."""

    rounds: int | None = None
    """Messages of the model, at most; None is no limit."""
    frames: int | None = None
    """Frames shown, at most; None is no limit."""
    visual_tokens: int | None = None
    """Visual tokens shown, at most; None is no limit."""

    def __post_init__(self) -> None:
        for name in ("rounds", "frames", "visual_tokens"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"{name} is {limit}: want 1 or more, or None")


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """An attempt that was not kept: a row of the file beside."""

    cause: DropCause
    """Why, in a word or three."""
    reason: str
    """Why, in words a person can check."""
    trajectory: Trajectory
    """What was dropped."""


def why_not(
    one: Trajectory, rules: KeepRules, auditor: Auditor | None = None
) -> tuple[DropCause, str] | None:
    """The first reason not to imitate an attempt; None if there is none. Without an auditor, calls are not
    held against the rules of audits.py.
    """
    task = one.task
    if one.stop == "fault":
        return "fault", one.faults[-1] if one.faults else "unknown"
    if task.answer is None:
        return "no gold answer", "the task has no gold answer"
    flaw = outcome(one).flaw
    if flaw is not None:
        return flaw
    for name in ("rounds", "frames", "visual_tokens"):
        limit, taken = getattr(rules, name), getattr(one, name)
        taken = len(taken) if name == "frames" else taken
        if limit is not None and taken > limit:
            return "over budget", f"{taken} {name.replace('_', ' ')}, {limit} allowed"
    return _unclean(one, auditor)


def _unclean(one: Trajectory, auditor: Auditor | None) -> tuple[DropCause, str] | None:
    flaws = auditor.flaws(one) if auditor is not None else []
    if flaws:
        return "audited", flaws[0].reason
    for turn in one.turns if one.hint or auditor is not None else ():
        word = leaked(turn.text, one.task.text)
        if word is not None:
            return "leaked", f"a message says {word!r}"
    return None
