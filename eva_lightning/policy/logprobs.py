"""The log-probability of every token the policy wrote.

The head reads only the positions in front of a written token, some of them at a time: full logits would take
more memory than everything else together. Which loss is made of these numbers is the objectives' business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from eva_lightning.policy.families import backbone, family_of
from eva_lightning.policy.inputs import MicroBatch
from eva_lightning.policy.pixels import ImageSettings
from eva_lightning.policy.row_part import part_of
from eva_lightning.policy.row_share import RowShare
from eva_lightning.policy.token_scores import NEVER, TokenScores, rows_of


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenLogprobs:
    """What the policy thinks of the tokens at the loss positions, in order."""

    logprobs: Tensor
    """Log-probability of each written token, float32 [L]."""
    entropy: Tensor | None = None
    """Entropy of the distribution it was drawn from, in nats, float32 [L]; None if nobody asked for it."""


def token_logprobs(
    model: nn.Module,
    batch: MicroBatch,
    *,
    temperature: float = 1.0,
    banned_ids: Sequence[int] = (),
    entropy: bool = False,
    chunk: int | None = None,
) -> TokenLogprobs:
    """Log-probability of every written token, under the distribution the engine drew it from.

    `temperature` 0 counts as 1, as in the engines: greedy tokens have a log-probability, too. `model` is that
    of a policy, an adapter or not; gradients flow if they are on.
    """
    found = Scorer(model)(batch, temperature=temperature, banned_ids=banned_ids, entropy=entropy, chunk=chunk)
    return TokenLogprobs(logprobs=found[0], entropy=found[1] if entropy else None)


class Scorer(nn.Module):
    """The model of a policy and its head in one forward pass, which strategies can shard, gather and watch.

    They look for tensors in what a forward pass returns, and not into records: it returns a tuple. Every pass
    calls the same parts in the same order, whether the micro-batch holds a frame or not: ranks that gather
    shards, or add up gradients, in the order of calls would meet over different weights.
    """

    def __init__(self, model: nn.Module, *, always_look: bool = False) -> None:
        """
        Args:
            model: That of a policy, an adapter or not. Its head becomes a `ScoringHead`.
            always_look: Call the vision tower in every pass, as shards of it must be gathered by all ranks;
                False calls it without a frame only where it is trained.
        """
        super().__init__()
        self.model = model
        self.family = family_of(model)
        self.always_look = always_look
        head = self.family.head(backbone(model))
        if type(head) is nn.Linear:
            head.__class__ = ScoringHead

    def forward(
        self,
        batch: MicroBatch,
        *,
        temperature: float = 1.0,
        banned_ids: Sequence[int] = (),
        entropy: bool = False,
        chunk: int | None = None,
    ) -> tuple[Tensor, ...]:
        """Log-probabilities of the written tokens [L], and their entropies [L] if asked for.

        Logits of `chunk` tokens are in memory at once; None is as many as take a quarter of a GiB.
        """
        if bool(batch.loss_mask[0, batch.borders[:-1]].any()):
            raise ValueError("the first token is marked as written, but nothing comes before it")
        bare = backbone(self.model)
        banned = torch.tensor(banned_ids, dtype=torch.int64, device=batch.ids.device)
        if batch.share is None:
            before, targets = self._read(bare, batch)
            return self._score(bare, before, targets, banned, temperature, entropy, chunk)
        before, targets, counts = self._read_together(bare, batch, batch.share)
        scored = self._score(bare, before, targets, banned, temperature, entropy, chunk)
        return tuple(batch.share.to_owner(torch.stack(scored, dim=1), counts).unbind(1))

    def _read(self, bare: PreTrainedModel, batch: MicroBatch) -> tuple[Tensor, Tensor]:
        """States in front of the written tokens, and these tokens."""
        if batch.grid is None and self.family.images is not None and self._looks(bare):
            batch = with_grey_frame(batch, int(bare.config.image_token_id), self.family.images)
        seen = batch.seen
        if (values := batch.pixel_values) is not None and batch.grid is not None:
            seen = self.family.see(bare, values, batch.grid)
        hidden = self.family.hidden(bare, batch.ids, batch.positions, batch.row, seen)
        (places,) = batch.loss_mask[0].nonzero(as_tuple=True)
        return hidden[0, places - 1], batch.ids[0, places]

    def _read_together(
        self, bare: PreTrainedModel, batch: MicroBatch, share: RowShare
    ) -> tuple[Tensor, Tensor, list[int]]:
        """The same of our part of a row, and how many of them each rank has."""
        images = self.family.images
        squares = images.merge**2 if images else 1
        part = part_of(batch, share, getattr(bare.config, "image_token_id", None), squares)
        mine, seen, unused = part.batch, part.batch.seen, None
        if (values := mine.pixel_values) is not None and mine.grid is not None and part.cut is not None:
            seen = tuple(layer[slice(*part.cut)] for layer in self.family.see(bare, values, mine.grid))
        elif images is not None and not seen and self._looks(bare):
            grey = with_grey_frame(mine, 0, images)
            values = grey.pixel_values
            assert values is not None and grey.grid is not None
            unused = self.family.see(bare, values, grey.grid)
        hidden = self.family.hidden(bare, mine.ids, mine.positions, mine.row, seen)
        before = hidden[0, part.before]
        if unused is not None:  # nobody's token: its gradient is 0, but it has one
            before = before + 0.0 * torch.stack([layer.sum() for layer in unused]).sum().to(before.dtype)
        return before, part.targets, part.counts

    def _score(
        self,
        bare: PreTrainedModel,
        before: Tensor,
        targets: Tensor,
        banned: Tensor,
        temperature: float,
        entropy: bool,
        chunk: int | None,
    ) -> tuple[Tensor, ...]:
        head = self.family.head(bare)
        rows = chunk or rows_of(head.out_features)
        scored: tuple[Tensor, ...]
        if isinstance(head, ScoringHead):
            scored = head(before, targets, banned, temperature or 1.0, entropy, rows)
        else:  # an adapter is around it
            scored = score(head, before, targets, banned, temperature or 1.0, entropy, rows)
        return scored

    def _looks(self, bare: nn.Module) -> bool:
        """Whether the vision tower is called where nothing is to be seen."""
        tower = self.family.tower(bare)
        if tower is None or self.always_look:
            return tower is not None
        return torch.is_grad_enabled() and any(weight.requires_grad for weight in tower.parameters())


class ScoringHead(nn.Linear):
    """A language model's head that can score tokens, too: called once, with all chunks inside.

    Weights that must be gathered for a call are gathered once, and by all ranks equally often. An `nn.Linear`
    becomes one by its class alone: name, weights and what else it does stay.
    """

    def forward(  # type: ignore[override]
        self,
        hidden: Tensor,
        targets: Tensor | None = None,
        banned: Tensor | None = None,
        temperature: float = 1.0,
        entropy: bool = False,
        rows: int = 1024,
    ) -> Tensor | tuple[Tensor, ...]:
        """Logits; or, where there are targets, their log-probabilities and perhaps the entropies."""
        if targets is None or banned is None:
            return super().forward(hidden)
        given = (hidden, self.weight, self.bias, targets, banned, temperature, entropy, rows)
        logprobs, entropies = TokenScores.apply(*given)  # type: ignore[no-untyped-call]
        return (logprobs, entropies) if entropy else (logprobs,)


def with_grey_frame(batch: MicroBatch, image_token_id: int, images: ImageSettings) -> MicroBatch:
    """The micro-batch with one grey visual token behind everything else, where nothing can see it."""
    tail = torch.full_like(batch.ids[:, :1], image_token_id)
    return replace(
        batch,
        ids=torch.cat([batch.ids, tail], dim=1),
        loss_mask=torch.cat([batch.loss_mask, torch.zeros_like(tail, dtype=torch.bool)], dim=1),
        positions=torch.cat([batch.positions, torch.zeros_like(batch.positions[..., :1])], dim=2),
        borders=torch.cat([batch.borders, batch.borders[-1:] + 1]),
        patches=torch.full((images.merge**2, 3 * images.side**2), 127, dtype=torch.uint8, device=tail.device),
        images=images,
        grid=torch.tensor([[1, images.merge, images.merge]], device=tail.device),
    )


def score(
    logits_of: Callable[[Tensor], Tensor],
    hidden: Tensor,
    targets: Tensor,
    banned: Tensor,
    temperature: float,
    entropy: bool,
    chunk: int,
) -> tuple[Tensor, ...]:
    """The same of a head that is no single matrix, computed again as a whole in the backward pass.

    Nothing written is one chunk of no rows.
    """
    parts = []
    for start in range(0, max(len(targets), 1), chunk):
        rows = slice(start, start + chunk)
        given = (logits_of, hidden[rows], targets[rows], banned, temperature, entropy)
        if torch.is_grad_enabled():
            parts.append(checkpoint(_score_rows, *given, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(_score_rows(*given))
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _score_rows(
    logits_of: Callable[[Tensor], Tensor],
    hidden: Tensor,
    targets: Tensor,
    banned: Tensor,
    temperature: float,
    entropy: bool,
) -> tuple[Tensor, ...]:
    logits = logits_of(hidden).float()
    scaled = logits if temperature == 1.0 else logits / temperature
    if len(banned):
        scaled = scaled.index_fill(1, banned, NEVER)
    total = scaled.logsumexp(dim=1)
    logprobs = scaled.gather(1, targets[:, None])[:, 0] - total
    if not entropy:
        return (logprobs,)
    return logprobs, total - (torch.exp(scaled - total[:, None]) * scaled).sum(dim=1)
