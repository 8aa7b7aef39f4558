"""Pixels as the vision tower reads them: normalised patches, in the order in which they make visual tokens.

The same numbers as the Hugging Face image processor, without its detours: frames arrive already resized to
whole visual tokens, the patches are cut out while they are still bytes, and each is normalised once. In
numpy, because it runs in the threads that fetch frames, where torch would start a pool of threads each. It
does not resize.
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
    """`pixel_values` float32 [patches, width] and `image_grid_thw` int64 [frames, 3] of frames, in order.

    Without settings, which is a model that sees nothing, there may be no frame.
    """
    if settings is None:
        if frames:
            raise ValueError(f"{len(frames)} frames for a model that sees nothing")
        return torch.empty(0, 0), torch.empty(0, 3, dtype=torch.int64)
    side, merge = settings.side, settings.merge
    grid = grid_of(frames, settings)
    count = int(grid.prod(1).sum())
    values = np.empty((count, 3, settings.times, side, side), dtype=np.float32)
    scale = np.array([1 / (255 * std) for std in settings.std], dtype=np.float32).reshape(3, 1, 1)
    shift = np.array([-m / s for m, s in zip(settings.mean, settings.std, strict=True)], dtype=np.float32)
    place = 0
    for frame, (_, high, wide) in zip(frames, grid.tolist(), strict=True):
        squares = frame.reshape(high // merge, merge, side, wide // merge, merge, side, 3)
        # token row, token column, patch in the token, colour, pixel
        cut = squares.transpose(0, 3, 1, 4, 6, 2, 5).reshape(-1, 3, side, side).astype(np.float32)
        cut *= scale
        cut += shift.reshape(3, 1, 1)
        values[place : place + len(cut)] = cut[:, :, None]
        place += len(cut)
    return torch.from_numpy(values).view(-1, settings.width), grid


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
