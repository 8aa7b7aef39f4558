"""The log-probability of every token the policy wrote.

The head reads only the positions in front of a written token, and head and softmax run in chunks, the softmax
in float32, that are computed again in the backward pass: full logits would take more memory than everything
else together. Which loss is made of these numbers is the objectives' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from eva_lightning.policy.families import Family, backbone, family_of
from eva_lightning.policy.inputs import MicroBatch

NEVER = -1e9
"""Logit of a banned token: its probability is exactly 0, and unlike with -inf the entropy has a gradient."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenLogprobs:
    """What the policy thinks of the tokens at the loss positions, in order."""

    logprobs: Tensor
    """Log-probability of each written token, float32 [L]."""
    entropy: Tensor
    """Entropy of the distribution it was drawn from, in nats, float32 [L]."""


def token_logprobs(
    model: nn.Module,
    batch: MicroBatch,
    *,
    temperature: float = 1.0,
    banned_ids: Sequence[int] = (),
    chunk: int = 1024,
) -> TokenLogprobs:
    """Log-probability and entropy of every written token, under the distribution the engine drew it from.

    `temperature` 0 counts as 1, as in the engines: greedy tokens have a log-probability, too. `model` is that
    of a policy, an adapter or not; gradients flow if they are on.
    """
    if bool(batch.loss_mask[:, 0].any()):
        raise ValueError("the first token is marked as written, but nothing comes before it")
    family, bare = family_of(model), backbone(model)
    hidden = family.hidden(bare, batch.ids, batch.positions, batch.pixel_values, batch.grid)
    rows, columns = batch.loss_mask.nonzero(as_tuple=True)
    before, targets = hidden[rows, columns - 1], batch.ids[rows, columns]
    if batch.pixel_values is None and _trains(family.tower(bare)):
        # Ranks must all touch the same weights, or those that saw frames wait for ever.
        before = before + _unseen(family, bare, before)
    banned = torch.tensor(banned_ids, dtype=torch.int64, device=batch.ids.device)
    head = family.head(bare)
    parts = [
        _score(head, before[i : i + chunk], targets[i : i + chunk], banned, temperature or 1.0)
        for i in range(0, max(len(targets), 1), chunk)  # nothing written is one chunk of no rows
    ]
    return TokenLogprobs(
        logprobs=torch.cat([logprob for logprob, _ in parts]),
        entropy=torch.cat([entropy for _, entropy in parts]),
    )


def _trains(tower: nn.Module | None) -> bool:
    return (
        tower is not None
        and torch.is_grad_enabled()
        and any(weight.requires_grad for weight in tower.parameters())
    )


def _unseen(family: Family, bare: nn.Module, like: Tensor) -> Tensor:
    """A grey square through the vision tower, times zero."""
    images = family.images
    assert images is not None  # it has a tower
    grid = torch.tensor([[1, images.merge, images.merge]], device=like.device)
    values = torch.zeros(images.merge**2, images.width, device=like.device, dtype=like.dtype)
    nothing: Tensor = sum((one.sum() * 0.0 for one in family.see(bare, values, grid)), like.new_zeros(()))
    return nothing


def _score(
    head: nn.Module, hidden: Tensor, targets: Tensor, banned: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    if torch.is_grad_enabled() and hidden.requires_grad:
        again: tuple[Tensor, Tensor] = checkpoint(
            _score_rows,
            head,
            hidden,
            targets,
            banned,
            temperature,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        return again
    return _score_rows(head, hidden, targets, banned, temperature)


def _score_rows(
    head: nn.Module, hidden: Tensor, targets: Tensor, banned: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    scaled = head(hidden).float() / temperature
    scaled = scaled.index_fill(1, banned, NEVER)
    total = scaled.logsumexp(dim=1)
    logprobs = scaled.gather(1, targets[:, None])[:, 0] - total
    entropy = total - (torch.exp(scaled - total[:, None]) * scaled).sum(dim=1)
    return logprobs, entropy
