"""Credit: who is learned from, and how much; sets `trajectory.advantage` and counts what is left out.

A trajectory that ended by a fault leaves its group. A group of fewer than two is dropped, for there is
nothing to compare; so is one whose rewards are all equal, for it teaches nothing and would only be paid for
in forward passes. Left out means that the advantage is None. Rewards are given elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eva_lightning.objectives.advantages import Advantage
from eva_lightning.records import Trajectory

SAME = 1e-6
"""Rewards closer than this are equal: sums of weighted scores differ in their last bits."""


@dataclass(frozen=True, kw_only=True)
class Credit:
    """What became of a batch of groups."""

    kept: tuple[Trajectory, ...]
    """Trajectories to learn from, in order; their advantage is set, and on nobody else."""
    groups: int
    """Groups there were."""
    zero_variance: int
    """Groups dropped because all their rewards were equal."""
    too_small: int
    """Groups dropped because fewer than two trajectories were sound."""
    faults: int
    """Trajectories left out because our side failed."""
    rewards: tuple[float, ...]
    """Rewards of all sound trajectories, learned from or not."""

    @property
    def zero_variance_share(self) -> float:
        """In all groups that could be compared; 0 if there was none."""
        return self.zero_variance / max(self.groups - self.too_small, 1)


def groups_of(trajectories: Iterable[Trajectory]) -> list[list[Trajectory]]:
    """The attempts at each task, in order of first appearance."""
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.task.id, []).append(trajectory)
    return list(groups.values())


def credit(groups: Sequence[Sequence[Trajectory]], advantage: Advantage) -> Credit:
    """Set the advantage of every trajectory, None for those that are left out."""
    zero_variance = too_small = 0
    kept: list[list[Trajectory]] = []
    rewards: list[float] = []
    for group in groups:
        _check(group)
        for trajectory in group:
            trajectory.advantage = None
        sound = [trajectory for trajectory in group if trajectory.stop != "fault"]
        earned = [trajectory.reward for trajectory in sound]
        rewards += earned
        if len(sound) < 2:
            too_small += 1
        elif max(earned) - min(earned) < SAME:
            zero_variance += 1
        else:
            kept.append(sound)
    # Only groups that are learned from: what was dropped has no say in the scale of the others.
    advantages = advantage.over([[trajectory.reward for trajectory in group] for group in kept])
    for group, values in zip(kept, advantages, strict=True):
        for trajectory, value in zip(group, values, strict=True):
            trajectory.advantage = value
    return Credit(
        kept=tuple(trajectory for group in kept for trajectory in group),
        groups=len(groups),
        zero_variance=zero_variance,
        too_small=too_small,
        faults=sum(trajectory.stop == "fault" for group in groups for trajectory in group),
        rewards=tuple(rewards),
    )


def _check(group: Sequence[Trajectory]) -> None:
    if len({trajectory.task.id for trajectory in group}) > 1:
        raise ValueError(f"a group mixes tasks: {', '.join(sorted({t.task.id for t in group}))}")
    for trajectory in group:
        if trajectory.stop != "fault" and not trajectory.scores:
            raise ValueError(
                f"a trajectory of task {trajectory.task.id!r} has no score: give the rewards first, and make "
                "sure that one of them applies to this kind of answer"
            )
