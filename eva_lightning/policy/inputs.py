"""Trajectories as the model reads them: expanded ids, positions, pixel values, and where the loss falls.

`trajectory_inputs` makes one, `lay_out` puts several into a row. Who shares a forward pass is decided by
`packing.py`; the ids are those that were sampled, never made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eva_lightning.policy.families import Seen
from eva_lightning.policy.loading import Policy
from eva_lightning.policy.pixels import ImageSettings, grid_of, patches, pixel_values
from eva_lightning.policy.row import Row
from eva_lightning.policy.row_share import RowShare
from eva_lightning.policy.seen_frames import SeenFrames
from eva_lightning.records import FrameRef, Trajectory
from eva_lightning.video.decoder import Pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectoryInputs:
    """One trajectory as the model reads it."""

    ids: Tensor
    """Expanded ids, int64 [S]."""
    loss_mask: Tensor
    """True exactly on what the policy wrote, bool [S]."""
    positions: Tensor
    """Positions as the family counts them, int64 [3, S]."""
    patches: Tensor | None = None
    """Patches of all frames, uint8 [patches, 3 * side * side]; None if there is no frame."""
    images: ImageSettings | None = None
    """How the tower wants them; None if there is no frame."""
    grid: Tensor | None = None
    """`image_grid_thw`, int64 [frames, 3]; None if there is no frame."""
    seen: Seen = ()
    """What a frozen tower made of the frames, instead of their patches."""

    @property
    def pixel_values(self) -> Tensor | None:
        """What the tower reads, float32 [patches, width]; None if there is nothing to be looked at."""
        return _values(self.patches, self.images)

    @property
    def targets(self) -> Tensor:
        """The written ids, in order."""
        return self.ids[self.loss_mask]


@dataclass(frozen=True, kw_only=True, eq=False)
class MicroBatch:
    """Trajectories in a row as the model reads them, with the place of every written token."""

    ids: Tensor
    """Expanded ids, int64 [1, length]."""
    loss_mask: Tensor
    """True exactly on what the policy wrote, bool [1, length]."""
    positions: Tensor
    """Text positions and the three of the family, int64 [4, 1, length]."""
    borders: Tensor
    """Where each trajectory begins, and where the last one ends, int32 [count + 1]."""
    longest: int
    """Tokens of the longest one."""
    patches: Tensor | None
    """Patches of all frames, in order, still bytes; None if there is no frame."""
    images: ImageSettings | None
    """How the tower wants them; None if there is no frame."""
    grid: Tensor | None
    """`image_grid_thw` of all frames; None if there is no frame."""
    seen: Seen
    """What a frozen tower made of all frames, instead of their patches."""
    sequence: Tensor
    """For each written token, which trajectory of the micro-batch wrote it, int64 [N]."""
    count: int
    """Trajectories in it."""
    share: RowShare | None = None
    """Who reads it with us; None reads it alone."""

    @property
    def pixel_values(self) -> Tensor | None:
        """What the tower reads, float32 [patches, width], computed on the device of the patches."""
        return _values(self.patches, self.images)

    @property
    def row(self) -> Row:
        """What attention must know of it."""
        return Row(borders=self.borders, longest=self.longest, share=self.share)

    def to(self, device: torch.device | str) -> MicroBatch:
        """The same on another device."""
        return MicroBatch(
            ids=self.ids.to(device),
            loss_mask=self.loss_mask.to(device),
            positions=self.positions.to(device),
            borders=self.borders.to(device),
            longest=self.longest,
            patches=None if self.patches is None else self.patches.to(device),
            images=self.images,
            grid=None if self.grid is None else self.grid.to(device),
            seen=tuple(layer.to(device) for layer in self.seen),
            sequence=self.sequence.to(device),
            count=self.count,
            share=self.share,
        )


def trajectory_inputs(
    trajectory: Trajectory,
    policy: Policy,
    pixels: Callable[[FrameRef], Pixels],
    tower: SeenFrames | None = None,
) -> TrajectoryInputs:
    """Expand a trajectory and read its frames again. The ids are those that were sampled.

    `tower` is who has seen frames before, if it is frozen.
    """
    renderer = policy.renderer
    frames = trajectory.frames
    collapsed, mask = trajectory.token_ids, trajectory.loss_mask
    ids = renderer.expand(collapsed, frames)
    copies = iter([frame.visual_tokens for frame in frames])
    pad = renderer.image_token_id
    repeats = torch.tensor([next(copies) if token == pad else 1 for token in collapsed])
    loss_mask = torch.tensor(mask, dtype=torch.bool).repeat_interleave(repeats)
    if any(written and token == pad for token, written in zip(collapsed, mask, strict=True)):
        raise ValueError(f"the policy wrote an image token in trajectory {trajectory.task.id!r}")
    read = [pixels(frame) for frame in frames]
    cut: Tensor | None = None
    seen: Seen = ()
    if read and tower is not None and policy.images is not None:
        grid, seen = grid_of(read, policy.images), tower.look(read)
    else:
        cut, grid = patches(read, policy.images)
    return TrajectoryInputs(
        ids=torch.tensor(ids),
        loss_mask=loss_mask,
        positions=policy.family.positions(ids, grid, pad),
        patches=cut if frames else None,
        images=policy.images if frames and cut is not None else None,
        grid=grid if frames else None,
        seen=seen,
    )


def lay_out(trajectories: Sequence[TrajectoryInputs]) -> MicroBatch:
    """Put trajectories into a row. Their order is the numbering of `MicroBatch.sequence`."""
    lengths = torch.tensor([0, *(len(one.ids) for one in trajectories)])
    # Text positions begin again with each trajectory: kernels that know no borders see them by that.
    text = torch.cat([torch.arange(len(one.ids)) for one in trajectories])
    family = torch.cat([one.positions for one in trajectories], dim=1)
    written = torch.tensor([int(one.loss_mask.sum()) for one in trajectories])
    cut = [one.patches for one in trajectories if one.patches is not None]
    grids = [one.grid for one in trajectories if one.grid is not None]
    return MicroBatch(
        ids=torch.cat([one.ids for one in trajectories])[None],
        loss_mask=torch.cat([one.loss_mask for one in trajectories])[None],
        positions=torch.cat([text[None], family])[:, None],
        borders=lengths.cumsum(0).to(torch.int32),
        longest=int(lengths.max()),
        patches=torch.cat(cut) if cut else None,
        images=next((one.images for one in trajectories if one.images is not None), None),
        grid=torch.cat(grids) if grids else None,
        seen=tuple(
            torch.cat(layer) for layer in zip(*(one.seen for one in trajectories if one.seen), strict=True)
        ),
        sequence=torch.repeat_interleave(torch.arange(len(trajectories)), written),
        count=len(trajectories),
    )


def _values(cut: Tensor | None, images: ImageSettings | None) -> Tensor | None:
    return None if cut is None or images is None else pixel_values(cut, images)
