"""Supervised fine-tuning: the mean negative log-likelihood of the tokens a teacher's trajectory wrote.

A token weighs the same in whatever trajectory, micro-batch or rank it is. What was observed is never a
target.
"""

from __future__ import annotations

import torch
from torch import Tensor

from eva_lightning.objectives.tally import Tally, total
from eva_lightning.objectives.totals import Totals, aggregate


def cross_entropy(logprobs: Tensor, *, totals: Totals) -> tuple[Tensor, Tally]:
    """This micro-batch's share of the loss, and `nll` with its token count.

    Args:
        logprobs: Of every loss token, [N].
        totals: Counts of the whole optimizer step.
    """
    nobody = torch.zeros_like(logprobs, dtype=torch.int64)  # a token weighs the same, whoever wrote it
    loss = aggregate(-logprobs, nobody, 1, "token_mean", totals)
    return loss, Tally(sums={"nll": total(-logprobs)})
