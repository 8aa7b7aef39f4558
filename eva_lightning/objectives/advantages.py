"""Advantages: how much better than its group each attempt at a task was. Plain numbers, no gradient.

An advantage sees the rewards of one group. Which trajectories make up a group, and which of them are learned
from, is `credit`'s business (credit.py).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal


def centred(rewards: Sequence[float]) -> list[float]:
    """Each reward less the mean.

    >>> centred([1.0, 0.0, 0.0, 0.0])
    [0.75, -0.25, -0.25, -0.25]
    """
    mean = math.fsum(rewards) / len(rewards)
    return [reward - mean for reward in rewards]


def deviation(rewards: Sequence[float]) -> float:
    """Standard deviation with n - 1, as in TRL and verl; 0 for fewer than two.

    >>> deviation([1.0, 0.0, 0.0, 0.0])
    0.5
    """
    if len(rewards) < 2:
        return 0.0
    return math.sqrt(math.fsum(apart**2 for apart in centred(rewards)) / (len(rewards) - 1))


def leave_one_out(rewards: Sequence[float]) -> list[float]:
    """Each reward less the mean of the others.

    >>> leave_one_out([1.0, 0.0])
    [1.0, -1.0]
    """
    if len(rewards) < 2:
        raise ValueError("a single attempt has no others to be compared with")
    total = math.fsum(rewards)
    return [reward - (total - reward) / (len(rewards) - 1) for reward in rewards]


def difficulty(rewards: Sequence[float]) -> float:
    """DGRPO's weight of a group: 1 up to a mean reward of 1, from there falling to 1/2 at 2.

    >>> difficulty([1.0, 0.0]), difficulty([2.0, 1.0]), difficulty([3.0, 2.0])
    (1.0, 0.75, 0.5)
    """
    mean = math.fsum(rewards) / len(rewards)
    return (min(max(2.0 - mean, 0.0), 1.0) + 1.0) / 2.0


class Advantage(ABC):
    """Rewards to advantages."""

    @abstractmethod
    def __call__(self, rewards: Sequence[float]) -> list[float]:
        """The advantages of one group of two or more."""

    def over(self, groups: Sequence[Sequence[float]]) -> list[list[float]]:
        """The advantages of all groups of a step. Override it where groups bear on each other."""
        return [self(rewards) for rewards in groups]


class GRPOAdvantage(Advantage):
    """Less the group's mean, in units of the group's deviation (2402.03300)."""

    def __init__(self, epsilon: float = 1e-4) -> None:
        """
        Args:
            epsilon: Added to the deviation, so that tiny differences are not blown up.
        """
        self.epsilon = epsilon

    def __call__(self, rewards: Sequence[float]) -> list[float]:
        scale = deviation(rewards) + self.epsilon
        return [apart / scale for apart in centred(rewards)]


class DGRPOAdvantage(GRPOAdvantage):
    """GRPO's, less for groups that are easy by now: difficulty-aware GRPO (VITAL, 2508.04416).

    The weight needs rewards that sum to more than 1: with a best of 1 it is 1 everywhere. As released it
    multiplies the advantage. The paper prints it on the rewards, where it is the same factor for the whole
    group, so that the deviation divides it out again and nothing but epsilon is left of it.
    """

    def __init__(
        self, epsilon: float = 1e-6, weight_on: Literal["advantage", "reward"] = "advantage"
    ) -> None:
        """
        Args:
            epsilon: Added to the deviation.
            weight_on: What a group's weight multiplies: advantage, as in the released code, or reward, as
                the paper prints it, which is GRPO but for epsilon.
        """
        super().__init__(epsilon)
        self.weight_on = weight_on

    def __call__(self, rewards: Sequence[float]) -> list[float]:
        weight = difficulty(rewards)
        if self.weight_on == "reward":
            return super().__call__([weight * reward for reward in rewards])
        return [weight * advantage for advantage in super().__call__(rewards)]


class BatchScaledAdvantage(Advantage):
    """Less the group's mean, in units of the deviation of all rewards of the step (2508.08221).

    The step is what `over` is given: across ranks, gather the rewards first, or each rank has its own scale.
    """

    def __init__(self, epsilon: float = 1e-4) -> None:
        """
        Args:
            epsilon: Added to the deviation.
        """
        self.epsilon = epsilon

    def __call__(self, rewards: Sequence[float]) -> list[float]:
        return self.over([rewards])[0]

    def over(self, groups: Sequence[Sequence[float]]) -> list[list[float]]:
        scale = deviation([reward for rewards in groups for reward in rewards]) + self.epsilon
        return [[apart / scale for apart in centred(rewards)] for rewards in groups]


class DrGRPOAdvantage(Advantage):
    """Less the group's mean and nothing else, so hard and easy questions weigh as they are (2503.20783)."""

    def __call__(self, rewards: Sequence[float]) -> list[float]:
        return centred(rewards)


class RLOOAdvantage(Advantage):
    """Less the mean of the others: an unbiased baseline (2402.14740)."""

    def __call__(self, rewards: Sequence[float]) -> list[float]:
        return leave_one_out(rewards)
