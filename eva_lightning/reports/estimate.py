"""An estimate is a mean with its interval, and there is one way to make it: over tasks.

The attempts at a task are drawn together, because they are no independent evidence. Arithmetic only; whoever
prints an interval takes it from here, so that two tables of one evaluation agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
"""Resamples of a bootstrap."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    """The mean."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end."""


def over_tasks(values: Mapping[str, Sequence[float]]) -> Estimate:
    """The mean over all attempts, its bootstrap interval over tasks; `values` are those of each task's
    attempts. Their order makes no difference.

    >>> over_tasks({"t1": [1.0, 1.0], "t2": [1.0]})
    Estimate(mean=1.0, low=1.0, high=1.0)
    """
    tasks = [values[task] for task in sorted(values)]
    sums = np.array([sum(task) for task in tasks])
    counts = np.array([float(len(task)) for task in tasks])
    drawn = resamples(len(tasks))
    return around(float(sums.sum() / counts.sum()), sums[drawn].sum(1) / counts[drawn].sum(1))


def resamples(count: int) -> NDArray[np.int64]:
    """Which tasks each resample holds; the same for the same count, so that a table can be made again."""
    return np.random.default_rng(0).integers(0, count, size=(DRAWS, count))


def around(mean: float, draws: NDArray[np.float64]) -> Estimate:
    """A mean, and where 95 % of its resamples lie."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(mean=mean, low=float(low), high=float(high))
