"""Trajectories to micro-batches under a token budget: who shares a forward pass. Lengths in, places out.

A micro-batch is one row of trajectories that do not see each other, without padding. How many there are
changes speed and memory, never the loss: losses are sums over global counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class PackingConfig:
    """How trajectories share a forward pass."""

    micro_batch_tokens: int | None = None
    """Tokens of one forward pass; a longer trajectory goes alone. None is 32,768 on a GPU, which wants to be
    filled, and 2,048 elsewhere, where a larger one is slower."""

    frames_gib: float = 1.0
    """GiB of the device's memory for what a frozen vision tower made of frames, so that it sees each once for
    all attempts and updates; 0 keeps none."""

    sequence_ranks: int = 1
    """Ranks that read each row together, every one a part of its tokens, so that a trajectory may be longer
    than a card holds: a divisor of the ranks and of the language model's attention heads."""
    deal: bool = True
    """Ranks give trajectories away until all have about equally much to do; False, where a rank can not read
    the videos of another, leaves each what it made."""

    def budget(self, device: torch.device) -> int:
        """Tokens of one forward pass on this device."""
        return self.micro_batch_tokens or (2_048 if device.type == "cpu" else 32_768)


def pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Micro-batches of places: every trajectory once, each within the budget, the longest first.

    >>> pack([5, 3, 4, 2], budget=10)
    [[0, 2], [1, 3]]
    """
    batches: list[list[int]] = []
    used: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        room = budget - lengths[place]
        fit = next((number for number, tokens in enumerate(used) if tokens <= room), None)
        if fit is None:
            batches.append([place])
            used.append(lengths[place])
        else:
            batches[fit].append(place)
            used[fit] += lengths[place]
    return batches
