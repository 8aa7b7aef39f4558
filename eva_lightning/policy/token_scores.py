"""Scores of tokens under a language model's head: log-probabilities and entropies without the logits.

Some rows of logits at a time, the softmax in float32; the backward pass makes them again and turns them into
their own gradient in place, so that one chunk, not every chunk, is what they take.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

NEVER = -1e9
"""Logit of a banned token: its probability is exactly 0, and unlike with -inf the entropy has a gradient."""

CHUNK_BYTES = 256 * 2**20
"""Memory of the logits, in float32, that are there at once."""


def rows_of(vocabulary: int) -> int:
    """Tokens whose logits are in memory at once."""
    return max(1, CHUNK_BYTES // (4 * vocabulary))


class TokenScores(torch.autograd.Function):
    """Log-probabilities of the targets [L], and the entropies [L] if asked for, in float32."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        banned: Tensor,
        temperature: float,
        entropy: bool,
        rows: int,
    ) -> tuple[Tensor, Tensor | None]:
        ctx.set_materialize_grads(False)  # an entropy that is only looked at costs nothing backwards
        totals, logprobs, entropies = [], [], []
        for start in range(0, len(targets), rows):
            part = slice(start, start + rows)
            logits = _logits(hidden[part], weight, bias, banned, temperature)
            picked = logits.gather(1, targets[part, None])[:, 0]
            total = logits.logsumexp(1) if entropy else _logsumexp_(logits)
            totals.append(total)
            logprobs.append(picked - total)
            if entropy:
                logs = logits.sub_(total[:, None])
                entropies.append(-torch.linalg.vecdot(logs.exp(), logs))
        nothing = hidden.new_empty(0, dtype=torch.float32)
        total, logprob, spread = (torch.cat([nothing, *parts]) for parts in (totals, logprobs, entropies))
        ctx.save_for_backward(hidden, weight, bias, targets, banned, total, spread)
        ctx.temperature, ctx.rows = temperature, rows
        return logprob, spread if entropy else None

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, for_logprobs: Tensor | None, for_entropy: Tensor | None) -> tuple[Any, ...]:
        hidden, weight, bias, targets, banned, total, spread = ctx.saved_tensors
        of_hidden = torch.zeros_like(hidden) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        of_bias = torch.zeros_like(bias, dtype=torch.float32) if ctx.needs_input_grad[2] else None
        if for_logprobs is None:
            for_logprobs = torch.zeros_like(total)
        for start in range(0, len(targets), ctx.rows):
            part = slice(start, start + ctx.rows)
            logs = _logits(hidden[part], weight, bias, banned, ctx.temperature).sub_(total[part, None])
            if for_entropy is None:
                gradient = logs.exp_().mul_(-for_logprobs[part, None])
            else:
                gradient = logs.exp()
                share = logs.add_(spread[part, None]).mul_(for_entropy[part, None])
                gradient.mul_(share.add_(for_logprobs[part, None]).neg_())
            gradient.scatter_add_(1, targets[part, None], for_logprobs[part, None])
            if ctx.temperature != 1.0:
                gradient.div_(ctx.temperature)
            gradient = gradient.to(weight.dtype)
            if of_hidden is not None:
                torch.mm(gradient, weight, out=of_hidden[part])
            if of_weight is not None and of_weight.dtype == gradient.dtype:
                of_weight.addmm_(gradient.T, hidden[part])
            elif of_weight is not None:
                of_weight += gradient.T @ hidden[part]
            if of_bias is not None:
                of_bias += gradient.sum(0)
        return of_hidden, _like(of_weight, weight), _like(of_bias, bias), None, None, None, None, None


def _logits(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, banned: Tensor, temperature: float
) -> Tensor:
    logits = linear(hidden, weight, bias).float()
    if temperature != 1.0:
        logits.div_(temperature)
    return logits.index_fill_(1, banned, NEVER) if len(banned) else logits


def _logsumexp_(logits: Tensor) -> Tensor:
    """The logarithm of the sum of exponentials of each row, which are lost."""
    highest = logits.amax(1)
    return highest + logits.sub_(highest[:, None]).exp_().sum(1).log_()


def _like(gradient: Tensor | None, weight: Tensor | None) -> Tensor | None:
    return None if gradient is None or weight is None else gradient.to(weight.dtype)
