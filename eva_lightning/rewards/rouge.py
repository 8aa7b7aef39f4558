"""r_rouge of EVA (2603.22918): the mean of ROUGE-1, ROUGE-2 and ROUGE-L, for open questions.

F-measures with a stemmer, as in the scorer; whether EVA took F or recall was not published.
"""

from __future__ import annotations

from eva_lightning.records import Score, Trajectory
from eva_lightning.rewards.base import Reward
from eva_lightning.scoring import score


class RougeReward(Reward):
    """How many words an open answer shares with the gold one. Does not apply to other kinds of answer."""

    name = "rouge"

    def score(self, trajectory: Trajectory) -> Score | None:
        gold = trajectory.task.answer
        if gold is not None and gold.kind != "text":
            return None
        verdict = score(trajectory.task, trajectory.answer)
        return self.give(verdict.value if verdict.answer is None else verdict.answer, verdict.reason)
