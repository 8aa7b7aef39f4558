"""Overlap: how well the times of an answer meet the gold ones, stretched to where learning happens.

An IoU below `least` earns nothing and one above `enough` everything; between them the reward is a line. For
grounded questions (an answer, and the times where it is seen) the answer's own value is added, so that both
halves count; the code that VITAL (2508.04416) released adds them up and then returns the times alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eva_lightning.faults import UsageError
from eva_lightning.records import Score, Trajectory
from eva_lightning.rewards.base import Reward
from eva_lightning.scoring import score


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Between which overlaps a reward grows."""

    least: float = 0.2
    """IoU up to which there is none."""
    enough: float = 0.8
    """IoU from which there is all of it."""

    def __post_init__(self) -> None:
        if not 0 <= self.least < self.enough <= 1:
            raise UsageError(
                f"a reward from IoU {self.least:g} to {self.enough:g}: want 0 <= least < enough <= 1"
            )

    def __call__(self, iou: float) -> float:
        """The reward of an overlap, from 0 to 1.

        >>> [round(Stretch()(iou), 6) for iou in (0.1, 0.5, 0.9)]
        [0.0, 0.5, 1.0]
        """
        return min(max((iou - self.least) / (self.enough - self.least), 0.0), 1.0)


USUAL = Stretch()


class OverlapReward(Reward):
    """The stretched IoU of answers that name times, and for grounded ones the answer's value on top of it.

    Leave those answers to it: give AccuracyReward `timed: false` beside it.
    """

    name = "overlap"

    def __init__(
        self,
        weight: float = 1.0,
        stretch: Stretch = USUAL,
        sources: Mapping[str, Stretch] | None = None,
        answer_weight: float = 1.0,
    ) -> None:
        """
        Args:
            weight: Factor of the score in the total reward.
            stretch: Between which overlaps it grows.
            sources: The same for some sources of tasks, by their name; None makes no difference between them.
            answer_weight: Factor of the answer's own value beside its times, in grounded questions; 0 counts
                the times alone, as the released code of VITAL does.
        """
        super().__init__(weight)
        self.stretch = stretch
        self.sources = dict(sources or {})
        self.answer_weight = answer_weight

    def score(self, trajectory: Trajectory) -> Score | None:
        task = trajectory.task
        if task.answer is not None and not task.answer.intervals:
            return None
        verdict = score(task, trajectory.answer)
        iou = 0.0 if verdict.overlap is None else verdict.overlap.iou
        value = self.sources.get(task.source, self.stretch)(iou)
        if verdict.answer is not None:
            value += self.answer_weight * verdict.answer
        return self.give(value, verdict.reason)
