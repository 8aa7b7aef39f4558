"""Outcome: how an attempt ended, read once, for filters, marks, mining and demonstrations alike.

What follows from it (a drop, a mark, a failure of the policy) is the business of each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eva_lightning.records import Trajectory
from eva_lightning.scoring import Verdict, score

Flaw = Literal["stopped", "malformed", "wrong", "blind"]
"""ended without an answer | a call went wrong | wrong answer | answered without a look."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended."""

    stop: str | None
    """Why it ended."""
    errors: tuple[str, ...]
    """What was wrong with calls, in order."""
    worked: int
    """Turns whose calls all worked."""
    looked: bool
    """Whether anything was shown, heard or told."""
    verdict: Verdict | None
    """How its answer compares; None without a gold answer."""

    @property
    def answered(self) -> bool:
        return self.stop == "answered"

    @property
    def correct(self) -> bool:
        return self.verdict is not None and self.verdict.correct

    @property
    def hopeless(self) -> bool:
        """Calls were made, and none of them worked."""
        return bool(self.errors) and not self.worked

    @property
    def flaw(self) -> tuple[Flaw, str] | None:
        """The first thing that is wrong with it, and why; None if it is right, well-formed and looked."""
        if not self.answered:
            return "stopped", f"ended by {self.stop}"
        if self.errors:
            return "malformed", self.errors[0]
        if self.verdict is not None and not self.correct:
            return "wrong", self.verdict.reason
        return None if self.looked else ("blind", "answered without a look")


def outcome(one: Trajectory) -> Outcome:
    """How an attempt ended."""
    observed = [turn.observation for turn in one.turns if turn.observation is not None]
    errors = tuple(seen.error for seen in observed if seen.error is not None)
    return Outcome(
        stop=one.stop,
        errors=errors,
        worked=len(observed) - len(errors),
        looked=one.looked,
        verdict=None if one.task.answer is None else score(one.task, one.answer),
    )
