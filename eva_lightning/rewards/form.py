"""Form: a turn is a thought and then a deed, and deeds that work are worth something. VITAL's (2508.04416).

What a well-formed turn is, the dialect says. The released code gives 1 for the form and half a point for each
of the first two calls that were carried out, on top of what the answer earns; so a mean above 1 is usual, and
DGRPO's weight acts.
"""

from __future__ import annotations

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.worlds.base import World
from eva_lightning.engines.base import Engine
from eva_lightning.faults import UsageError
from eva_lightning.records import Score, Trajectory
from eva_lightning.rewards.base import Reward
from eva_lightning.rewards.format import calls_worked


class FormReward(Reward):
    """1 if every turn is well formed and the last one answers, and 0.5 for each of two calls that worked."""

    name = "form"

    def __init__(
        self,
        weight: float = 1.0,
        formed: float = 1.0,
        call: float = 0.5,
        most: int = 2,
        dialect: Dialect | None = None,
    ) -> None:
        """
        Args:
            weight: Factor of the score in the total reward.
            formed: What a trajectory of well-formed turns that ends with an answer earns.
            call: What a call that was carried out earns.
            most: Calls that earn it; further ones earn nothing. 0 pays none.
            dialect: Says what is well formed; None is the agent's.
        """
        super().__init__(weight)
        if most < 0:
            raise UsageError(f"a form reward with most {most}: want 0 or more")
        self.formed, self.call, self.most = formed, call, most
        self._given = self._lent = dialect

    def equip(self, engine: Engine, dialect: Dialect, world: World) -> None:
        self._lent = dialect

    @property
    def dialect(self) -> Dialect:
        dialect = self._given or self._lent
        if dialect is None:
            raise UsageError("FormReward has no dialect: name one, or let the module equip the rewards")
        return dialect

    def score(self, trajectory: Trajectory) -> Score:
        flaw = self._flaw(trajectory)
        worked = sum(calls_worked(turn) for turn in trajectory.turns)
        value = self.formed * (flaw is None) + self.call * min(worked, self.most)
        return self.give(value, f"{flaw or 'well formed'}; calls that worked: {worked}")

    def _flaw(self, trajectory: Trajectory) -> str | None:
        """The first thing that is wrong."""
        for number, turn in enumerate(trajectory.turns, start=1):
            flaw = self.dialect.flaw(turn.text)
            if flaw is not None:
                return f"turn {number}: {flaw:.100}"
        return "no answer" if trajectory.answer is None else None
