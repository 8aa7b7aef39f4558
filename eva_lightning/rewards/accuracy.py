"""Accuracy: is the answer right? The scorer is the benchmarks' own, so training and testing mean the same.

The kind of a gold answer says how it is compared: a transcript by 1 - its word error rate, a `relative`
number by 1 - its relative error, an open answer by ROUGE, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

from eva_lightning.records import AnswerKind, Score, Trajectory
from eva_lightning.rewards.base import Reward
from eva_lightning.scoring import score


class AccuracyReward(Reward):
    """How right the answer is: 0 or 1, or between them where the kind of answer knows more and less."""

    name = "accuracy"

    def __init__(
        self,
        weight: float = 1.0,
        threshold: float | None = None,
        kinds: Sequence[AnswerKind] | None = None,
        timed: bool = True,
    ) -> None:
        """
        Args:
            weight: Factor of the score in the total reward.
            threshold: From here on an answer counts as 1, below as 0; None keeps the value (IoU, ROUGE).
            kinds: Kinds of answer it applies to; None applies to all.
            timed: Whether it applies to answers that name times (intervals, grounded answers); False leaves
                them to OverlapReward.
        """
        super().__init__(weight)
        self.threshold = threshold
        self.kinds = None if kinds is None else frozenset(kinds)
        self.timed = timed

    def score(self, trajectory: Trajectory) -> Score | None:
        task, gold = trajectory.task, trajectory.task.answer
        if gold is not None and self.kinds is not None and gold.kind not in self.kinds:
            return None
        if gold is not None and gold.intervals and not self.timed:
            return None
        verdict = score(task, trajectory.answer)
        value = verdict.value if self.threshold is None else float(verdict.value >= self.threshold)
        return self.give(value, verdict.reason)
