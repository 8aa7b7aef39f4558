"""Several turns written at once, token by token, with a cache of keys and values.

Plain and exact rather than clever: rows are padded on the left, positions are ours, a row leaves the batch as
soon as its turn has ended. Who is batched with whom, and when, is the engine's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from eva_lightning.policy.families import Seen
from eva_lightning.policy.loading import Policy
from eva_lightning.policy.pixels import pixel_values

PATCHES_AT_ONCE = 16384
"""Patches per call of the vision tower: bounds its memory, changes no number."""
BLOCK = 128
"""The cache grows by so many tokens, so that most steps copy nothing."""


@dataclass(kw_only=True, eq=False)
class Draft:
    """A turn that is being written."""

    ids: list[int]
    """The conversation so far, expanded."""
    positions: Tensor
    """Its positions as the family counts them, int64 [3, S]."""
    patches: Tensor
    """Patches of its frames, uint8 [patches, 3 * side * side]."""
    grid: Tensor
    """`image_grid_thw` of its frames, [frames, 3]."""
    temperature: float
    """0 takes the likeliest token."""
    max_tokens: int
    """The turn is cut there."""
    seed: int
    """Dice of this turn."""
    token_ids: list[int] = field(default_factory=list)
    """What was written, the end of the turn included."""
    logprobs: list[float] = field(default_factory=list)
    """Log-probability of each id, after temperature and ban, rounded to 6 decimals."""
    ended: bool = False
    """True once the model ended the turn itself."""
    abandoned: bool = False
    """Set from outside if nobody waits for it any more."""

    @property
    def done(self) -> bool:
        return self.ended or len(self.token_ids) >= self.max_tokens


@torch.no_grad()
def write_turns(policy: Policy, drafts: Sequence[Draft]) -> Iterator[Draft]:
    """Write all drafts; each is yielded when its turn has ended, in the order of ending.

    The abandoned are dropped.
    """
    rows = [draft for draft in drafts if not draft.abandoned]
    batch = _Batch(policy, rows)
    hidden = batch.prefill() if rows else torch.empty(0)
    while rows:
        chosen = batch.choose(batch.head(hidden))
        yield from (draft for draft in rows if draft.done and not draft.abandoned)
        staying = [i for i, draft in enumerate(rows) if not draft.done and not draft.abandoned]
        if len(staying) < len(rows):
            rows = [rows[i] for i in staying]
            chosen = chosen[staying]
            batch.keep(staying)
        if rows:
            hidden = batch.step(chosen)


class _Batch:
    """The rows that are being written and what the model remembers of them."""

    def __init__(self, policy: Policy, rows: list[Draft]) -> None:
        self.rows = rows
        self.family, self.model, self.images = policy.family, policy.backbone, policy.images
        self.head = self.family.head(self.model)
        self.device = self.head.weight.device
        self.attention = str(self.family.decoder(self.model).config._attn_implementation)
        self.end_ids = frozenset(policy.renderer.end_ids)
        self.banned = torch.tensor(policy.renderer.banned_ids, dtype=torch.int64, device=self.device)
        self.cache = _Cache()
        longest = max((len(row.ids) for row in rows), default=0)
        self.padding = torch.tensor([longest - len(row.ids) for row in rows], device=self.device)
        self.position = torch.tensor([int(row.positions.max()) + 1 for row in rows], device=self.device)
        self.temperature = torch.tensor([row.temperature for row in rows], device=self.device)
        self.dice = [
            torch.rand(row.max_tokens, generator=_generator(row.seed), dtype=torch.float64) for row in rows
        ]

    def prefill(self) -> Tensor:
        """Read every conversation; the hidden state of each one's last token.

        What several rows begin with, all attempts at a question for one, is read once and handed out.
        """
        first, places = _alike(self.rows)
        read = [self.rows[i] for i in first]
        shape = (len(read), max(len(row.ids) for row in read))
        ids = torch.full(shape, min(self.end_ids), dtype=torch.int64)
        positions = torch.zeros(3, *shape, dtype=torch.int64)
        for i, row in enumerate(read):
            ids[i, -len(row.ids) :] = torch.tensor(row.ids)
            positions[:, i, -len(row.ids) :] = row.positions
        self.padding = self.padding[first]
        hidden = self._forward(ids.to(self.device), positions.to(self.device), self._see(read))
        self.padding = self.padding[places]
        if len(read) < len(self.rows):
            self.cache.keep(places)
        return hidden[places]

    def step(self, chosen: Tensor) -> Tensor:
        """Read one more token of each row; its hidden state."""
        positions = self.position[None, :, None].expand(3, -1, 1)
        self.position = self.position + 1
        return self._forward(chosen[:, None], positions)

    def choose(self, logits: Tensor) -> Tensor:
        """Draw the next token of each row and note it down."""
        scaled = logits.float() / torch.where(self.temperature > 0, self.temperature, 1.0)[:, None]
        scaled = scaled.index_fill(1, self.banned, -torch.inf)
        logprobs = scaled.log_softmax(dim=1)
        dice = torch.stack([dice[len(row.token_ids)] for dice, row in zip(self.dice, self.rows, strict=True)])
        drawn = _draw(logprobs, dice.to(self.device))
        chosen = torch.where(self.temperature > 0, drawn, logprobs.argmax(dim=1))
        picked = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
        for row, token, logprob in zip(self.rows, chosen.tolist(), picked, strict=True):
            row.token_ids.append(token)
            row.logprobs.append(round(logprob, 6))
            row.ended = token in self.end_ids
        return chosen

    def keep(self, places: list[int]) -> None:
        """Let the other rows go."""
        self.rows = [self.rows[i] for i in places]
        self.dice = [self.dice[i] for i in places]
        self.padding, self.position = self.padding[places], self.position[places]
        self.temperature = self.temperature[places]
        self.cache.keep(places)

    def _see(self, rows: Sequence[Draft]) -> Seen:
        """What the frames of these rows stand for, in order; nothing if there are none."""
        if self.images is None:
            return ()
        parts = [
            self.family.see(self.model, pixel_values(cut.to(self.device), self.images), grid.to(self.device))
            for cut, grid in _portions(rows)
        ]
        return tuple(torch.cat(one) for one in zip(*parts, strict=True))

    def _forward(self, ids: Tensor, positions: Tensor, seen: Seen = ()) -> Tensor:
        self.cache.grow(ids.shape[1])
        mask = self._mask(ids.shape[1], self.head.weight.dtype)
        states = self.family.read(self.model, ids, positions, mask=mask, cache=self.cache, seen=seen)
        return states[:, -1]

    def _mask(self, queries: int, dtype: torch.dtype) -> Tensor | None:
        """Which keys each query may see: not the padding, not the future. None lets the kernel do it."""
        total = torch.arange(self.cache.length, device=self.device)
        keys = total >= self.padding[:, None]
        if self.attention == "flash_attention_2":
            return keys
        padded = bool((self.padding > 0).any())
        if self.attention != "eager" and not padded:
            return None
        rows = total[-queries:, None]
        visible = (total <= rows) & keys[:, None, :]
        visible = (visible | (total == rows))[:, None]  # padding sees itself: a row of nothing would be NaN
        if self.attention != "eager":
            return visible
        return torch.zeros(visible.shape, dtype=dtype, device=self.device).masked_fill(
            ~visible, torch.finfo(dtype).min
        )


class _Cache:
    """Keys and values of each layer, in buffers that grow in blocks."""

    def __init__(self) -> None:
        self.length = self.begin = 0
        self.layers: list[tuple[Tensor, Tensor]] = []

    def grow(self, tokens: int) -> None:
        """So many are read next."""
        self.begin, self.length = self.length, self.length + tokens

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append to a layer and return all of it: what transformers asks of a cache."""
        begin = self.begin
        if layer == len(self.layers):
            self.layers.append((keys[:, :, :0], values[:, :, :0]))
        if self.layers[layer][0].shape[2] < self.length:
            old = self.layers[layer]
            self.layers[layer] = (_grown(old[0], begin, self.length), _grown(old[1], begin, self.length))
        kept_keys, kept_values = self.layers[layer]
        kept_keys[:, :, begin : self.length] = keys
        kept_values[:, :, begin : self.length] = values
        return kept_keys[:, :, : self.length], kept_values[:, :, : self.length]

    def get_seq_length(self, layer: int = 0) -> int:
        return self.length

    def get_query_offset(self, layer: int = 0) -> int:
        """Behind how many keys the new ones begin, for a model that makes its own mask."""
        return self.begin

    def get_mask_sizes(self, queries: int, layer: int = 0) -> tuple[int, int]:
        """Keys there are, and where the first of them stands."""
        return self.length, 0

    def keep(self, places: list[int]) -> None:
        self.layers = [(keys[places], values[places]) for keys, values in self.layers]


def _alike(rows: Sequence[Draft]) -> tuple[list[int], list[int]]:
    """The rows that differ from all before them, and where among these each row finds its like."""
    first: list[int] = []
    places: list[int] = []
    by_words: dict[tuple[int, ...], list[int]] = {}
    for i, row in enumerate(rows):
        likely = by_words.setdefault(tuple(row.ids), [])
        like = next((place for place in likely if _same(rows[first[place]], row)), None)
        if like is None:
            like = len(first)
            likely.append(like)
            first.append(i)
        places.append(like)
    return first, places


def _same(one: Draft, other: Draft) -> bool:
    """Whether the same frames are at the same places."""
    pairs = [(one.grid, other.grid), (one.positions, other.positions), (one.patches, other.patches)]
    return all(torch.equal(*pair) for pair in pairs)


def _grown(buffer: Tensor, used: int, needed: int) -> Tensor:
    batch, heads, _, width = buffer.shape
    larger = buffer.new_zeros(batch, heads, needed + BLOCK, width)
    larger[:, :, :used] = buffer[:, :, :used]
    return larger


def _draw(logprobs: Tensor, dice: Tensor) -> Tensor:
    """The token at which the cumulated probability passes the die; never one of probability 0."""
    cumulated = logprobs.double().exp().cumsum(dim=1)
    total = cumulated[:, -1]
    point = torch.minimum(dice * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulated, point[:, None], right=True)[:, 0]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed % 2**63)


def _portions(rows: Sequence[Draft]) -> Iterator[tuple[Tensor, Tensor]]:
    """Patches and grids of all frames in order, in portions of whole frames."""
    cut: list[Tensor] = []
    grids: list[Tensor] = []
    size = 0
    for row in rows:
        counts = row.grid.prod(dim=1).tolist()
        pieces: Sequence[Tensor] = torch.split(row.patches, counts)
        for piece, grid in zip(pieces, row.grid, strict=True):
            if size and size + len(piece) > PATCHES_AT_ONCE:
                yield torch.cat(cut), torch.stack(grids)
                cut, grids, size = [], [], 0
            cut.append(piece)
            grids.append(grid)
            size += len(piece)
    if cut:
        yield torch.cat(cut), torch.stack(grids)
