"""Pixels as the vision tower reads them: normalised patches, in the order in which they make visual tokens.

The same numbers as the Hugging Face image processor, without its detours: frames arrive already resized to
whole visual tokens, and their patches stay bytes until they are where the tower is: an eighth of the numbers
that it reads. They are cut in numpy, because that runs in the threads that fetch frames, where torch would
start a pool of threads each. Nothing is resized here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eva_lightning.faults import UsageError
from eva_lightning.video.decoder import Pixels

AT_ONCE = 1024
"""Patches that are normalised in one go: they stay in a processor's cache meanwhile."""


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How a checkpoint wants its frames: their colours, and the patches that they are cut into."""

    mean: tuple[float, float, float]
    """Mean of red, green and blue, of 1."""
    std: tuple[float, float, float]
    """Standard deviation of red, green and blue, of 1."""
    side: int
    """Side of a patch in pixels."""
    merge: int
    """Patches along each side of a visual token."""
    times: int
    """Time steps of the tower's patch embedding; a still image fills all of them."""

    @property
    def square(self) -> int:
        """Side in pixels of the square that one visual token covers."""
        return self.side * self.merge

    @property
    def width(self) -> int:
        """Numbers in a patch."""
        return 3 * self.times * self.side**2

    def with_colours_of(self, file: Path) -> ImageSettings:
        """The same with the colours of a `preprocessor_config.json`, whose patches must be these."""
        row = json.loads(file.read_text())
        wanted = (self.side, self.merge, self.times)
        names = ("patch_size", "merge_size", "temporal_patch_size")
        found = tuple(row.get(name, here) for name, here in zip(names, wanted, strict=True))
        if found != wanted:
            raise UsageError(f"{file}: patches of {found}, but this family of models has {wanted}")
        return replace(
            self,
            mean=tuple(row.get("image_mean", self.mean)),
            std=tuple(row.get("image_std", self.std)),
        )


def patches(frames: Sequence[Pixels], settings: ImageSettings | None) -> tuple[Tensor, Tensor]:
    """Patches of frames, in order, as they are: uint8 [patches, 3 * side * side]; and their `image_grid_thw`.

    Without settings, which is a model that sees nothing, there may be no frame.
    """
    if settings is None:
        if frames:
            raise ValueError(f"{len(frames)} frames for a model that sees nothing")
        return torch.empty(0, 0, dtype=torch.uint8), torch.empty(0, 3, dtype=torch.int64)
    side, merge = settings.side, settings.merge
    grid = grid_of(frames, settings)
    cut = np.empty((int(grid.prod(1).sum()), 3 * side**2), dtype=np.uint8)
    place = 0
    for frame, (_, high, wide) in zip(frames, grid.tolist(), strict=True):
        squares = frame.reshape(high // merge, merge, side, wide // merge, merge, side, 3)
        # token row, token column, patch in the token, colour, pixel
        count = high * wide
        cut[place : place + count] = squares.transpose(0, 3, 1, 4, 6, 2, 5).reshape(count, -1)
        place += count
    return torch.from_numpy(cut), grid


def pixel_values(cut: Tensor, settings: ImageSettings) -> Tensor:
    """What the tower reads of patches, float32 [patches, width]: computed where they are."""
    scale, shift = cut.new_tensor(
        [
            [1 / (255 * std) for std in settings.std],
            [-mean / std for mean, std in zip(settings.mean, settings.std, strict=True)],
        ],
        dtype=torch.float32,
    )
    scale, shift = scale.view(3, 1, 1), shift.view(3, 1, 1)
    shape = (len(cut), 3, settings.times, settings.side**2)
    # On the host numpy asks for large pages: touching small ones takes longer than all the arithmetic.
    on_host = cut.device.type == "cpu"
    values = (
        torch.from_numpy(np.empty(shape, np.float32))
        if on_host
        else cut.new_empty(shape, dtype=torch.float32)
    )
    for begin in range(0, len(cut), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        values[part] = cut[part].view(-1, 3, 1, settings.side**2).float().mul_(scale).add_(shift)
    return values.view(-1, settings.width)


def grid_of(frames: Sequence[Pixels], settings: ImageSettings) -> Tensor:
    """`image_grid_thw` int64 [frames, 3] of frames, in order."""
    grid = [_grid(frame, settings) for frame in frames]
    return torch.tensor(grid, dtype=torch.int64).reshape(-1, 3)


def _grid(frame: Pixels, settings: ImageSettings) -> tuple[int, int, int]:
    height, width, colours = frame.shape
    square = settings.square
    if frame.dtype != np.uint8 or colours != 3 or height % square or width % square or not height * width:
        raise ValueError(
            f"a frame of {frame.shape} {frame.dtype}: want uint8, 3 colours, multiples of {square}"
        )
    return 1, height // settings.side, width // settings.side
