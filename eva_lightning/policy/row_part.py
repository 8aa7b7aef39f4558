"""The part of a shared row that one rank reads: its tokens, its frames, and the words it can score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from eva_lightning.policy.inputs import MicroBatch
from eva_lightning.policy.row_share import RowShare


@dataclass(frozen=True, kw_only=True, eq=False)
class RowPart:
    """One rank's part."""

    batch: MicroBatch
    """Ids, positions and frames of the part; borders are those of the whole row."""
    before: Tensor
    """Places in the part in front of a written token, int64 [found here]."""
    targets: Tensor
    """The tokens written there, int64 [found here]."""
    counts: list[int]
    """How many each rank finds."""
    cut: tuple[int, int] | None
    """Which of the visual tokens of its frames lie in the part, where the first or the last frame reaches out
    of it; None where there is no frame."""


def part_of(batch: MicroBatch, share: RowShare, image_token_id: int | None, squares: int) -> RowPart:
    """Our part of a row; `squares` patches make one visual token."""
    whole = _filled_up(batch, share.ranks)
    size = whole.ids.shape[1] // share.ranks
    begin, end = share.rank * size, (share.rank + 1) * size
    (places,) = whole.loss_mask[0].nonzero(as_tuple=True)
    finders = (places - 1).div(size, rounding_mode="floor")
    mine = places[finders == share.rank]
    ids = whole.ids[:, begin:end]
    images = whole.ids[0] == (-1 if image_token_id is None else image_token_id)
    first, last = int(images[:begin].sum()), int(images[:end].sum())
    patches, grid, cut = _frames(whole, first, last, squares)
    return RowPart(
        batch=replace(
            whole,
            ids=ids,
            loss_mask=whole.loss_mask[:, begin:end],
            positions=whole.positions[..., begin:end],
            patches=patches,
            grid=grid,
            seen=tuple(layer[first:last] for layer in whole.seen) if last > first else (),
        ),
        before=mine - 1 - begin,
        targets=whole.ids[0, mine],
        counts=torch.bincount(finders, minlength=share.ranks).tolist(),
        cut=cut,
    )


def _filled_up(batch: MicroBatch, ranks: int) -> MicroBatch:
    """A row of equal parts: tokens behind everything else that nothing can see."""
    missing = -batch.ids.shape[1] % ranks
    if not missing:
        return batch
    tail = batch.ids[:, :1].expand(1, missing)
    return replace(
        batch,
        ids=torch.cat([batch.ids, tail], dim=1),
        loss_mask=torch.cat([batch.loss_mask, torch.zeros_like(tail, dtype=torch.bool)], dim=1),
        positions=torch.cat([batch.positions, batch.positions.new_zeros(4, 1, missing)], dim=2),
        borders=torch.cat([batch.borders, batch.borders[-1:] + missing]),
    )


def _frames(
    batch: MicroBatch, first: int, last: int, squares: int
) -> tuple[Tensor | None, Tensor | None, tuple[int, int] | None]:
    """Frames of which a visual token from `first` to `last` is one, and which of their tokens these are."""
    if batch.grid is None or batch.patches is None or first == last:
        return None, None, None
    sizes = batch.grid.prod(1).tolist()
    ends = list(accumulate(size // squares for size in sizes))
    begins = [0, *ends[:-1]]
    seen = [number for number in range(len(ends)) if begins[number] < last and ends[number] > first]
    low, high = seen[0], seen[-1] + 1
    at = list(accumulate(sizes, initial=0))
    cut = (first - begins[low], last - begins[low])
    return batch.patches[at[low] : at[high]], batch.grid[low:high], cut
