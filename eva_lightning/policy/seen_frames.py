"""Frames as a frozen vision tower sees them, kept: attempts at one question look at many of the same.

A frame is known by its pixels, so it is no other's, wherever it comes from; those that were looked at longest
ago go first. A tower that learns sees everything anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import nn

from eva_lightning.policy.families import Seen, backbone
from eva_lightning.policy.loading import Policy
from eva_lightning.policy.pixels import patches, pixel_values
from eva_lightning.video.decoder import Pixels


class SeenFrames:
    """What the tower of one policy made of frames, up to so many bytes."""

    def __init__(self, policy: Policy, limit: int) -> None:
        self._policy, self._limit = policy, limit
        self._kept: OrderedDict[bytes, Seen] = OrderedDict()
        self.bytes = 0

    def look(self, frames: Sequence[Pixels]) -> Seen:
        """What the image tokens of these frames stand for; the tower is called for those that are new."""
        names = [_name(frame) for frame in frames]
        new = {name: frame for name, frame in zip(names, frames, strict=True) if name not in self._kept}
        made = self._see(new) if new else {}
        known = {
            name: self._kept.pop(name) if name in self._kept else made[name] for name in dict.fromkeys(names)
        }
        self._kept |= known  # those of now are the youngest
        self.bytes += sum(_bytes(seen) for seen in made.values())
        while self.bytes > self._limit:
            self.bytes -= _bytes(self._kept.popitem(last=False)[1])
        return tuple(torch.cat(layer) for layer in zip(*(known[name] for name in names), strict=True))

    def _see(self, frames: dict[bytes, Pixels]) -> dict[bytes, Seen]:
        policy = self._policy
        model = backbone(policy.model)
        cut, grid = patches(list(frames.values()), policy.images)
        assert policy.images is not None  # or patches would have refused the frames
        values = pixel_values(cut.to(model.device), policy.images)
        with torch.no_grad():
            seen = policy.family.see(model, values, grid.to(model.device))
        sizes = (grid.prod(1) // policy.images.merge**2).tolist()
        # Copies: a view of one frame would keep all those that it was seen with.
        pieces = [[piece.clone() for piece in torch.split(layer, sizes)] for layer in seen]
        return dict(zip(frames, zip(*pieces, strict=True), strict=True))


def is_frozen(tower: nn.Module | None) -> bool:
    """Whether there is a tower, and it makes the same of a frame forever."""
    return tower is not None and not any(weight.requires_grad for weight in tower.parameters())


def _name(frame: Pixels) -> bytes:
    return blake2b(frame.tobytes(), digest_size=16, salt=repr(frame.shape[:2]).encode()[:16]).digest()


def _bytes(seen: Seen) -> int:
    return sum(layer.nbytes for layer in seen)
