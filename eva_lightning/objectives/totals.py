"""Totals: what a loss is divided by, the counts of the whole optimizer step over micro-batches and ranks.

Every loss here is a sum that is already divided by these totals. So the losses of micro-batches and ranks
add up to that of one large batch, however the trajectories were cut: four micro-batches of one are one of
four. Whoever averages gradients over ranks (DDP) multiplies by the number of ranks first. Tokens are flat:
`sequence` says for each one which trajectory of the micro-batch wrote it, and nothing is padded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Aggregation = Literal["token_mean", "sequence_mean", "dr_grpo"]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """How much one optimizer step learns from."""

    tokens: float
    """Tokens under the loss."""
    sequences: float
    """Trajectories with at least one of them."""

    def __post_init__(self) -> None:
        if not 0 <= self.sequences <= self.tokens or (self.tokens > 0 and self.sequences == 0):
            raise ValueError(f"an optimizer step over {self.tokens} tokens of {self.sequences} sequences")

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Totals:
        """Count trajectories by their number of loss tokens; those without any do not count."""
        written = [length for length in lengths if length > 0]
        return cls(tokens=sum(written), sequences=len(written))

    def __add__(self, other: Totals) -> Totals:
        return Totals(tokens=self.tokens + other.tokens, sequences=self.sequences + other.sequences)


def sequence_sums(values: Tensor, sequence: Tensor, count: int) -> Tensor:
    """Sum of the values of each trajectory, [count]; 0 for one without tokens."""
    return values.new_zeros(count).index_add(0, sequence, values)


def sequence_lengths(sequence: Tensor, count: int) -> Tensor:
    """Loss tokens of each trajectory, int64 [count]."""
    return torch.bincount(sequence, minlength=count)


def sequence_means(values: Tensor, sequence: Tensor, count: int) -> Tensor:
    """Mean of the values of each trajectory, [count]; 0 for one without tokens."""
    return sequence_sums(values, sequence, count) / sequence_lengths(sequence, count).clamp(min=1)


def aggregate(
    token_losses: Tensor,
    sequence: Tensor,
    count: int,
    how: Aggregation,
    totals: Totals,
    max_tokens: int | None = None,
) -> Tensor:
    """This micro-batch's share of the step's loss.

    * token_mean: every token weighs the same (DAPO, 2503.14476).
    * sequence_mean: every trajectory weighs the same, its tokens share that (GRPO, 2402.03300).
    * dr_grpo: a sum over tokens divided by a constant, sequences times `max_tokens`, so that the length of a
      trajectory does not change the weight of its tokens (Dr.GRPO, 2503.20783).
    """
    if token_losses.shape != sequence.shape:
        raise ValueError(f"{tuple(token_losses.shape)} losses for tokens of shape {tuple(sequence.shape)}")
    if len(token_losses) > totals.tokens:
        raise ValueError(
            f"a micro-batch of {len(token_losses)} tokens in a step of {totals.tokens}: "
            "count the totals over all micro-batches and ranks"
        )
    if len(token_losses) == 0:
        return token_losses.sum()  # keeps the graph: every rank runs backward equally often
    if how == "token_mean":
        return token_losses.sum() / totals.tokens
    if how == "sequence_mean":
        return sequence_means(token_losses, sequence, count).sum() / totals.sequences
    if max_tokens is None or max_tokens < 1:
        raise ValueError(f"dr_grpo divides by max_tokens, which is {max_tokens}: want the token limit")
    return token_losses.sum() / (totals.sequences * max_tokens)
