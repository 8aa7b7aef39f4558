"""Advantages: how much better than its group each attempt at a task was. Plain numbers, no gradient.

An advantage sees the rewards of one group. Which trajectories make up a group, and which of them are learned
from, is `credit`'s business (credit.py).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence


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
