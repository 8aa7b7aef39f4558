"""Measurements that add up over micro-batches and ranks: sums with their counts, and maxima. Not a logger.

A mean of means is wrong wherever micro-batches differ in size, so nothing is divided before the very end.
The names do not depend on what a batch contains: stacked, every rank reduces vectors of the same length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """Named sums and maxima."""

    sums: Mapping[str, Tensor] = field(default_factory=dict)
    """Total and count, float32 [2]."""
    peaks: Mapping[str, Tensor] = field(default_factory=dict)
    """Largest value, float32 []; minus infinity where there was none."""

    def __add__(self, other: Tally) -> Tally:
        sums, peaks = dict(self.sums), dict(self.peaks)
        for name, value in other.sums.items():
            sums[name] = sums[name] + value if name in sums else value
        for name, value in other.peaks.items():
            peaks[name] = torch.maximum(peaks[name], value) if name in peaks else value
        return Tally(sums=sums, peaks=peaks)

    def means(self) -> dict[str, float]:
        """Plain numbers to log; a name that nothing was counted for is left out."""
        pairs = {name: value.tolist() for name, value in self.sums.items()}
        tops = {name: float(value) for name, value in self.peaks.items()}
        found = {name: total / count for name, (total, count) in pairs.items() if count}
        return found | {name: top for name, top in tops.items() if top > -torch.inf}


def total(values: Tensor, count: Tensor | float | None = None) -> Tensor:
    """Sum of the values and how many there are, or `count` where another number divides; no gradient."""
    values = values.detach()
    many = torch.as_tensor(values.numel() if count is None else count, device=values.device)
    return torch.stack([values.sum().float(), many.float()])


def peak(values: Tensor) -> Tensor:
    """The largest value; no gradient."""
    values = values.detach().float()
    return values.max() if values.numel() else values.new_tensor(-torch.inf)
