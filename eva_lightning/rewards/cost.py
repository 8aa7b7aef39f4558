"""A price on looking: visual tokens, frames or rounds beyond a free allowance cost up to a full point.

Not part of EVA, whose policy learns thrift from the data alone. By default only right answers are charged,
so that among right answers the cheaper one wins and a wrong one is not made worse by having looked harder.
"""

from __future__ import annotations

from typing import Literal

from eva_lightning.faults import UsageError
from eva_lightning.records import Score, Trajectory
from eva_lightning.rewards.base import Reward
from eva_lightning.scoring import score

Unit = Literal["visual_tokens", "elsewhere", "frames", "rounds"]


SPELLED: dict[Unit, str] = {
    "visual_tokens": "visual tokens",
    "elsewhere": "visual tokens of sub-agents",
    "frames": "frames",
    "rounds": "rounds",
}


class CostReward(Reward):
    """0 for what is free, -1 at `cap` and beyond, a straight line between."""

    name = "cost"

    def __init__(
        self,
        weight: float = 0.1,
        unit: Unit = "visual_tokens",
        free: int = 0,
        cap: int = 12_000,
        only_when_right: bool = True,
    ) -> None:
        """
        Args:
            weight: What a trajectory at the cap pays.
            unit: What is counted: visual_tokens (of its own conversation), elsewhere (those that other models
                read for it), frames or rounds (messages of the model).
            free: Costs nothing.
            cap: Costs all; more costs no more.
            only_when_right: Charge right answers only.
        """
        super().__init__(weight)
        if not 0 <= free < cap:
            raise UsageError(f"a cost with free {free} and cap {cap}: want 0 <= free < cap")
        self.unit: Unit = unit
        self.free = free
        self.cap = cap
        self.only_when_right = only_when_right

    def score(self, trajectory: Trajectory) -> Score:
        if self.only_when_right and not score(trajectory.task, trajectory.answer).correct:
            return self.give(0.0, "not right: nothing is charged")
        used = _used(trajectory, self.unit)
        share = min(max(used - self.free, 0) / (self.cap - self.free), 1.0)
        return self.give(-share, f"{used} {SPELLED[self.unit]}, free to {self.free}, cap {self.cap}")


def _used(trajectory: Trajectory, unit: Unit) -> int:
    if unit == "visual_tokens":
        return trajectory.visual_tokens
    if unit == "elsewhere":
        return trajectory.elsewhere
    return len(trajectory.frames) if unit == "frames" else trajectory.rounds
