"""Attention of each trajectory to itself alone, in a row that many share: nothing is padded, nothing masked.

A row of several trajectories would need a mask of all pairs, and rows of one each would need padding. A
kernel that is told where each begins needs neither: on a GPU one call of torch's own flash attention for
variable lengths, anywhere else one call for each trajectory. The windows of a vision tower are such borders.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from eva_lightning.policy.row_share import RowShare

BY_TRAJECTORY = "flash_by_trajectory"
"""What transformers calls it. The vision tower hands its borders on to what has `flash` in its name."""

HALVES = (torch.float16, torch.bfloat16)
"""What flash attention computes in."""


def attend_by_trajectory(model: PreTrainedModel) -> None:
    """Language model and vision tower attend within borders from now on; without borders, as under `sdpa`."""
    AttentionInterface.register(BY_TRAJECTORY, attention)
    AttentionMaskInterface.register(BY_TRAJECTORY, sdpa_mask)
    model.config._attn_implementation = BY_TRAJECTORY  # set_attn_implementation would look for flash_attn


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    share: RowShare | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer: [1, heads, length, width] to [1, length, heads, width]."""
    if share is not None:
        # A rank has at least one head of each, be it the same one as another's.
        copies = max(1, share.ranks // key.shape[1])
        key, value = (states.repeat_interleave(copies, dim=1) for states in (key, value))
        query, key, value = share.all_tokens(query, key, value)
        given = (module, query, key, value, attention_mask, dropout, scaling, is_causal)
        seen, _ = attention(*given, cu_seq_lens_q, max_length_q, **more)
        return share.all_heads(seen), None
    if cu_seq_lens_q is None or attention_mask is not None:
        plain = not dropout and more.get("position_bias") is None
        if plain and query.shape[2] == 1 and query.shape[1] > key.shape[1]:
            return _next_token(query, key, value, attention_mask, scaling), None
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal, **more
        )
    causal = bool(module.is_causal) if is_causal is None else is_causal
    if query.is_cuda and query.dtype in HALVES and not dropout and max_length_q is not None:
        return _at_once(query, key, value, cu_seq_lens_q, max_length_q, scaling, causal), None
    lengths = cu_seq_lens_q.diff().tolist()
    return _in_turn(query, key, value, lengths, dropout, scaling, causal), None


def _next_token(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None
) -> Tensor:
    """Heads that share a key stand where tokens would: all that was read so far is not copied for each."""
    shared = query.reshape(len(query), key.shape[1], -1, query.shape[3])
    seen = scaled_dot_product_attention(shared, key, value, attn_mask=mask, scale=scale)
    return seen.reshape(len(query), 1, -1, value.shape[3])


def _at_once(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    borders: Tensor,
    longest: int,
    scale: float | None,
    causal: bool,
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    mine, keys, values = (states[0].transpose(0, 1) for states in (query, key, value))
    found = varlen_attn(
        mine,
        keys,
        values,
        borders,
        borders,
        longest,
        longest,
        scale=scale,
        window_size=(-1, 0 if causal else -1),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return cast(Tensor, found)[None]


def _in_turn(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: list[int],
    dropout: float,
    scale: float | None,
    causal: bool,
) -> Tensor:
    """Neighbours of one length, as the windows of a frame are, share a call."""
    runs = [(length, len(list(run))) for length, run in groupby(lengths)]
    sizes = [length * count for length, count in runs]  # split, whose gradient is one concatenation
    parts = zip(*(torch.split(states[0], sizes, dim=1) for states in (query, key, value)), strict=True)
    found = []
    for (length, count), part in zip(runs, parts, strict=True):
        mine, keys, values = (states.unflatten(1, (count, length)).transpose(0, 1) for states in part)
        shared = query.shape[1] != key.shape[1]
        seen = scaled_dot_product_attention(
            mine, keys, values, dropout_p=dropout, scale=scale, is_causal=causal, enable_gqa=shared
        )
        found.append(seen.transpose(1, 2).flatten(0, 1))
    return torch.cat(found)[None]
