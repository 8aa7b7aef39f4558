"""Trajectories to micro-batches under a token budget: who shares a forward pass. Lengths in, places out.

A row holds one trajectory or several that do not see each other; a micro-batch holds rows of much the same
length. How many micro-batches there are changes speed and memory, never the loss: losses are sums over global
counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PackingConfig:
    """How trajectories share a forward pass."""

    micro_batch_tokens: int = 32_768
    """Tokens of one forward pass, padding included. A longer trajectory goes alone."""
    row_tokens: int = 0
    """Trajectories are put one after the other up to so many tokens a row; 0 gives each its own row. Equal to
    `micro_batch_tokens` is right for flash attention, 0 for a CPU."""


def pack(lengths: Sequence[int], config: PackingConfig) -> list[list[list[int]]]:
    """Micro-batches of rows of places: every trajectory once, each micro-batch within the budget.

    >>> pack([5, 3, 4, 2], PackingConfig(micro_batch_tokens=10, row_tokens=5))
    [[[0], [1, 3]], [[2]]]
    """
    rows = _fill_rows(lengths, config.row_tokens)
    rows.sort(key=lambda row: -sum(lengths[place] for place in row))
    batches: list[list[list[int]]] = []
    for row in rows:
        widest = sum(lengths[place] for place in batches[-1][0]) if batches else 0
        if batches and (len(batches[-1]) + 1) * widest <= config.micro_batch_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def _fill_rows(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """First fit, longest first."""
    rows: list[list[int]] = []
    used: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        fit = next((i for i, tokens in enumerate(used) if tokens + lengths[place] <= capacity), None)
        if fit is None:
            rows.append([place])
            used.append(lengths[place])
        else:
            rows[fit].append(place)
            used[fit] += lengths[place]
    return rows
