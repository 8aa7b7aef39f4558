"""r_fmt of EVA (2603.22918): a crumb for a wrong answer that came after a look that worked.

It keeps an untrained policy calling its tool. At 0.05 it is far below what guessing among four options earns
(about 0.25), so calling for show does not pay. Whoever never answers gets nothing: running out of turns is
not to be learned.
"""

from __future__ import annotations

from eva_lightning.records import Score, Trajectory, Turn
from eva_lightning.rewards.base import Reward
from eva_lightning.scoring import score


class FormatReward(Reward):
    """1 for a wrong answer after at least one call that worked, else 0."""

    name = "format"

    def __init__(self, weight: float = 0.05) -> None:
        """
        Args:
            weight: Factor of the score in the total reward.
        """
        super().__init__(weight)

    def score(self, trajectory: Trajectory) -> Score:
        worked = sum(calls_worked(turn) > 0 for turn in trajectory.turns)
        if trajectory.answer is None:
            return self.give(0.0, "no answer")
        if score(trajectory.task, trajectory.answer).correct:
            return self.give(0.0, "right, accuracy pays")
        return self.give(float(worked > 0), f"wrong, after {worked} turns whose calls worked")


def calls_worked(turn: Turn) -> int:
    """Calls of a turn that were carried out.

    Earlier records do not tell how many; frames prove one even where another of them failed.
    """
    seen = turn.observation
    if seen is None or not turn.calls:
        return 0
    if seen.worked is not None:
        return seen.worked
    return len(turn.calls) if seen.error is None else int(bool(seen.frames))
