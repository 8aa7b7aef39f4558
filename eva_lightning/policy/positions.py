"""M-RoPE positions of a trajectory: text counts on in all three axes, a frame spreads over rows and columns.

We compute them ourselves and pass them always: without `mm_token_type_ids` transformers falls back to plain
positions and says nothing. Images only; frames are shown as images here, never as one video item.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def mrope_positions(
    expanded: Sequence[int], grid: Tensor, image_token_id: int | None, merge: int = 2
) -> Tensor:
    """Positions int64 [3, S] (time, row, column) of expanded ids.

    `grid` is `image_grid_thw` [frames, 3], counted in patches, of which `merge` x `merge` are one visual
    token.

    A frame of h x w visual tokens takes h * w tokens but only max(h, w) positions: all of its tokens share
    the time at which it begins, and what follows it begins behind its longer side.
    """
    ids = torch.as_tensor(expanded, dtype=torch.int64)
    positions = torch.empty(3, len(ids), dtype=torch.int64)
    pads = [] if image_token_id is None else (ids == image_token_id).nonzero().flatten().tolist()
    here, place = 0, 0  # next position, next token
    used = 0  # image tokens behind us
    for _, high, wide in grid.tolist():
        rows, columns = high // merge, wide // merge
        size = rows * columns
        run = pads[used : used + size]
        if len(run) < size or run[-1] - run[0] != size - 1:
            raise ValueError(
                f"a frame of {rows}x{columns} visual tokens does not lie on {size} image tokens in a row"
            )
        text = run[0] - place
        positions[:, place : run[0]] = torch.arange(here, here + text)
        here += text
        positions[0, run[0] : run[0] + size] = here
        positions[1, run[0] : run[0] + size] = torch.arange(here, here + rows).repeat_interleave(columns)
        positions[2, run[0] : run[0] + size] = torch.arange(here, here + columns).repeat(rows)
        here += max(rows, columns)
        place, used = run[0] + size, used + size
    if used != len(pads):
        raise ValueError(f"{len(pads)} image tokens, but the frames have {used} visual tokens")
    positions[:, place:] = torch.arange(here, here + len(ids) - place)
    return positions
