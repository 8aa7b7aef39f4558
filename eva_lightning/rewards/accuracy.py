"""Accuracy: is the answer right? The scorer is the benchmarks' own, so training and testing mean the same."""

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
    ) -> None:
        """
        Args:
            weight: Factor of the score in the total reward.
            threshold: From here on an answer counts as 1, below as 0; None keeps the value (IoU, ROUGE).
            kinds: Kinds of answer it applies to; None applies to all.
        """
        super().__init__(weight)
        self.threshold = threshold
        self.kinds = None if kinds is None else frozenset(kinds)

    def score(self, trajectory: Trajectory) -> Score | None:
        task = trajectory.task
        if self.kinds is not None and task.answer is not None and task.answer.kind not in self.kinds:
            return None
        verdict = score(task, trajectory.answer)
        value = verdict.value if self.threshold is None else float(verdict.value >= self.threshold)
        return self.give(value, verdict.reason)
