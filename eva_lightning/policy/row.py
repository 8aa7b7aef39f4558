"""A row that trajectories share: what attention must know of it, and what a family hands on to attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from eva_lightning.policy.row_share import RowShare


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """Where trajectories stand in it, and who reads it."""

    borders: Tensor
    """Where each of them begins, and where the last one ends, int32 [count + 1]."""
    longest: int
    """Tokens of the longest one."""
    share: RowShare | None = None
    """Who reads it with us: ids and positions are our part of it; None reads it alone."""

    @property
    def words(self) -> dict[str, Any]:
        """What transformers hands on, through all layers, to `attention`."""
        return {
            "cu_seq_lens_q": self.borders,
            "cu_seq_lens_k": self.borders,
            "max_length_q": self.longest,
            "max_length_k": self.longest,
            "share": self.share,
        }
