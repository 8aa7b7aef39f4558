"""Contracts: what modules, and the callbacks and data around them, ask of each other.

They do not know each other's classes: whoever has these methods will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from eva_lightning.objectives.policy_gradient import PolicyGradientSettings
from eva_lightning.records import Task, Trajectory


class Refresher(Protocol):
    """Keeps the weights of an engine that has a copy of them as new as wanted: RolloutRefresh."""

    @property
    def max_staleness(self) -> int:
        """How many iterations behind the weights may be whose trajectories are learned from."""

    @property
    def batches_ahead(self) -> int:
        """Rollouts of so many iterations to come are made while this one is learned from."""

    def refresh(self, *, newest: bool) -> None:
        """Hand the engine new weights if it needs some.

        `newest` if only those of the policy as it is now will do. All ranks call it together.
        """

    def forget(self) -> None:
        """Whatever the engine has, it needs new ones before it writes again."""


@runtime_checkable
class Collecting(Protocol):
    """A module that learns from its own rollouts: GRPO."""

    objective: PolicyGradientSettings

    def collect(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Rewarded attempts at these tasks."""


@runtime_checkable
class Counted(Protocol):
    """Data that can say what they hold: RecordData."""

    def counts(self) -> dict[str, int]:
        """Records that are trained on, by the file or folder they come from."""


@runtime_checkable
class Foreseeing(Protocol):
    """A batch that tells what comes after it."""

    def ahead(self, count: int) -> Sequence[Sequence[Task]]:
        """The next batches, so many."""
