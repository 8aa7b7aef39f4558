"""Ranks: what they tell each other. With one process every function hands back what it was given."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from eva_lightning.objectives.tally import Tally

T = TypeVar("T")


def alone() -> bool:
    """Whether this is the only process."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1


def summed(value: Tensor) -> Tensor:
    """The sum over ranks, element by element."""
    return value if alone() else _reduced(value, dist.ReduceOp.SUM)


def largest(value: Tensor) -> Tensor:
    """The maximum over ranks, element by element."""
    return value if alone() else _reduced(value, dist.ReduceOp.MAX)


def most(count: int, device: torch.device) -> int:
    """The largest of a plain number."""
    return int(largest(torch.tensor(count, device=device)))


def together(mine: Tally) -> Tally:
    """The tallies of all ranks as one. A rank that had nothing to do has an empty one."""
    if alone():
        return mine
    here = Tally(
        sums={name: value.cpu() for name, value in mine.sums.items()},
        peaks={name: value.cpu() for name, value in mine.peaks.items()},
    )
    return sum(gathered([here]), Tally())


def gathered(mine: list[T]) -> list[T]:
    """The lists of all ranks as one."""
    if alone():
        return mine
    everyone: list[list[T]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(everyone, mine)
    return [one for part in everyone for one in part]


def _reduced(value: Tensor, how: dist.ReduceOp.RedOpType) -> Tensor:
    value = value.clone()
    dist.all_reduce(value, how)
    return value
