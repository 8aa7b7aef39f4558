"""Frames to what the vision tower reads: normalised 14-pixel patches, ordered so that 2 x 2 of them make one
visual token.

The same numbers as the Hugging Face image processor, without its detours: frames arrive already resized to
multiples of 28 pixels, the patches are cut out while they are still bytes, and each is normalised once. In
numpy, because it runs in the threads that fetch frames, where torch would start a pool of threads each. It
does not resize.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eva_lightning.faults import UsageError
from eva_lightning.records import PATCH
from eva_lightning.video.decoder import Pixels

SIDE = 14
"""Side of a patch in pixels."""
MERGE = PATCH // SIDE
"""Patches along each side of a visual token."""
TWICE = 2
"""A still image fills both time steps of the tower's patch embedding."""


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How a checkpoint wants its colours; the patch sizes are the same for every Qwen2.5-VL."""

    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """Mean of red, green and blue, of 1."""
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    """Standard deviation of red, green and blue, of 1."""

    @classmethod
    def from_file(cls, file: Path) -> ImageSettings:
        """Read a `preprocessor_config.json`."""
        row = json.loads(file.read_text())
        found = (
            row.get("patch_size", SIDE),
            row.get("merge_size", MERGE),
            row.get("temporal_patch_size", TWICE),
        )
        if found != (SIDE, MERGE, TWICE):
            raise UsageError(f"{file}: patches of {found}, but Qwen2.5-VL has {(SIDE, MERGE, TWICE)}")
        return cls(mean=tuple(row.get("image_mean", cls.mean)), std=tuple(row.get("image_std", cls.std)))


def patches(frames: Sequence[Pixels], settings: ImageSettings | None = None) -> tuple[Tensor, Tensor]:
    """`pixel_values` float32 [patches, 1176] and `image_grid_thw` int64 [frames, 3] of some frames, in
    order."""
    settings = settings or ImageSettings()
    grid = [_grid(frame) for frame in frames]
    values = np.empty((sum(high * wide for _, high, wide in grid), 3, TWICE, SIDE, SIDE), dtype=np.float32)
    scale = np.array([1 / (255 * std) for std in settings.std], dtype=np.float32).reshape(3, 1, 1)
    shift = np.array([-m / s for m, s in zip(settings.mean, settings.std, strict=True)], dtype=np.float32)
    place = 0
    for frame, (_, high, wide) in zip(frames, grid, strict=True):
        squares = frame.reshape(high // MERGE, MERGE, SIDE, wide // MERGE, MERGE, SIDE, 3)
        # token row, token column, patch in the token, colour, pixel
        cut = squares.transpose(0, 3, 1, 4, 6, 2, 5).reshape(-1, 3, SIDE, SIDE).astype(np.float32)
        cut *= scale
        cut += shift.reshape(3, 1, 1)
        values[place : place + len(cut)] = cut[:, :, None]
        place += len(cut)
    rows = torch.from_numpy(values).view(-1, 3 * TWICE * SIDE * SIDE)
    return rows, torch.tensor(grid, dtype=torch.int64).reshape(-1, 3)


def _grid(frame: Pixels) -> tuple[int, int, int]:
    height, width, colours = frame.shape
    if frame.dtype != np.uint8 or colours != 3 or height % PATCH or width % PATCH or not height * width:
        raise ValueError(
            f"a frame of {frame.shape} {frame.dtype}: want uint8, 3 colours, multiples of {PATCH}"
        )
    return 1, height // SIDE, width // SIDE
