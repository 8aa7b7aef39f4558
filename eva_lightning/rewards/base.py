"""What a reward is, and how several of them mark a batch of trajectories. The total is `trajectory.reward`.

Most rewards look at one trajectory and compute; some ask an engine, and are asked for all trajectories at
once so that they can do so concurrently. A trajectory that ended by a fault gets no score at all, and a
fault met while scoring makes it one: a dead judge must never look like a wrong answer.
"""

from __future__ import annotations

from abc import ABC
from collections import Counter
from collections.abc import Sequence

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.worlds.base import World
from eva_lightning.engines.base import Engine
from eva_lightning.faults import Fault, UsageError
from eva_lightning.records import Score, Trajectory

Outcome = Score | Fault | None
"""A score; what went wrong on our side; or None where the reward does not apply to this kind of task."""


class Reward(ABC):
    """One thing to be rewarded or punished. Override `score`, or `scores` to look at many at once."""

    name: str
    """Key of its score in a trajectory, and in the logs."""

    def __init__(self, weight: float = 1.0) -> None:
        """
        Args:
            weight: Factor of the score in the total reward.
        """
        self.weight = weight

    def equip(self, engine: Engine, dialect: Dialect, world: World) -> None:
        """What the agent acts with, lent anew at the begin of each fit; most rewards ignore it."""

    def score(self, trajectory: Trajectory) -> Score | None:
        """The score of one trajectory, None if this reward does not apply to its task. May raise a Fault."""
        raise NotImplementedError(f"{type(self).__name__} must override score or scores")

    async def scores(self, trajectories: Sequence[Trajectory]) -> list[Outcome]:
        """One outcome for each trajectory, in order."""
        return [self._outcome(trajectory) for trajectory in trajectories]

    def give(self, value: float, reason: str) -> Score:
        """A score of this reward's weight."""
        return Score(value=value, weight=self.weight, reason=reason)

    def _outcome(self, trajectory: Trajectory) -> Outcome:
        try:
            return self.score(trajectory)
        except Fault as fault:
            return fault


async def apply_rewards(trajectories: Sequence[Trajectory], rewards: Sequence[Reward]) -> None:
    """Fill `trajectory.scores`. Old scores are replaced, so that a batch can be scored again."""
    twice = [name for name, count in Counter(reward.name for reward in rewards).items() if count > 1]
    if twice:
        raise UsageError(f"two rewards are called {twice[0]!r}; a trajectory keeps one score a name")
    for trajectory in trajectories:
        trajectory.scores = {}
    for reward in rewards:
        sound = [trajectory for trajectory in trajectories if trajectory.stop != "fault"]
        for trajectory, outcome in zip(sound, await reward.scores(sound), strict=True):
            _write(trajectory, reward.name, outcome)


def _write(trajectory: Trajectory, name: str, outcome: Outcome) -> None:
    if isinstance(outcome, Fault):
        trajectory.faults.append(f"reward {name}: {outcome}")
        trajectory.stop = "fault"
        trajectory.scores = {}
    elif outcome is not None:
        trajectory.scores[name] = outcome
