"""Rows that several ranks read together, so that one trajectory may be longer than a card holds.

Between the layers each rank has a part of the tokens, in attention a part of the heads and all tokens
(Ulysses, 2309.14509): two exchanges a layer, and every head sees what it would see on one rank. The owner
of a row learns every number that was found, the others none, so that each trajectory counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd.function import once_differentiable


@dataclass(frozen=True, kw_only=True, eq=False)
class RowShare:
    """A row that the ranks of a group read together."""

    group: Any
    """Those who share it: a process group."""
    owner: int
    """Whose trajectories these are, by the rank in the group."""

    @property
    def rank(self) -> int:
        """Ours in the group."""
        return int(dist.get_rank(self.group))

    @property
    def ranks(self) -> int:
        return int(dist.get_world_size(self.group))

    @property
    def owned(self) -> bool:
        """Whether it is ours."""
        return self.rank == self.owner

    def all_tokens(self, *states: Tensor) -> list[Tensor]:
        """Of each [1, heads, part, width] our heads with all tokens: [1, heads / ranks, row, width]."""
        # the heads of each rank
        split = [one[0].reshape(self.ranks, -1, *one.shape[2:]) for one in states]
        got = _Exchange.apply(torch.cat(split, dim=1), self.group)  # type: ignore[no-untyped-call]
        parts = torch.split(got, [one.shape[1] for one in split], dim=1)
        return [part.transpose(0, 1).flatten(1, 2)[None] for part in parts]

    def all_heads(self, states: Tensor) -> Tensor:
        """Back, from [1, row, heads / ranks, width] to all heads of our tokens: [1, part, heads, width]."""
        parts = states[0].reshape(self.ranks, -1, *states.shape[2:])  # the tokens of each rank
        got: Tensor = _Exchange.apply(parts, self.group)  # type: ignore[no-untyped-call]
        return got.transpose(0, 1).flatten(1, 2)[None]

    def to_owner(self, found: Tensor, counts: list[int]) -> Tensor:
        """What the ranks found, [sum(counts), width] in order, for the owner; no row for the others."""
        rows: Tensor = _ToOwner.apply(found, self, counts)  # type: ignore[no-untyped-call]
        return rows


class _Exchange(torch.autograd.Function):
    """Piece i of [ranks, ...] goes to rank i, and comes from it."""

    @staticmethod
    def forward(ctx: Any, pieces: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return _exchanged(pieces, group)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _exchanged(gradients[0], ctx.group), None


def _exchanged(pieces: Tensor, group: Any) -> Tensor:
    pieces = pieces.contiguous()
    got = torch.empty_like(pieces)
    dist.all_to_all_single(got, pieces, group=group)
    return got


class _ToOwner(torch.autograd.Function):
    """The owner's gradient goes back to those who found the rows."""

    @staticmethod
    def forward(ctx: Any, found: Tensor, share: RowShare, counts: list[int]) -> Tensor:
        ctx.share, ctx.counts = share, counts
        padded = found.new_zeros(max(counts), found.shape[1])
        padded[: len(found)] = found
        everyone = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(everyone, padded, group=share.group)
        if not share.owned:
            return found.new_empty(0, found.shape[1])
        return torch.cat([rows[:count] for rows, count in zip(everyone, counts, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        share, counts = ctx.share, ctx.counts
        whole = gradients[0].contiguous()
        if not share.owned:
            whole = whole.new_empty(sum(counts), whole.shape[1])
        dist.broadcast(whole, dist.get_global_rank(share.group, share.owner), group=share.group)
        return torch.split(whole, counts)[share.rank], None, None
