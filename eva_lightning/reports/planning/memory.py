"""Memory: the bytes on one card, item by item, while the policy learns and while it acts. Arithmetic only.

Each item says whether it is counted (on the real architecture), follows from settings, or is assumed. Host
memory and disks are nobody's business here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from eva_lightning.faults import UsageError
from eva_lightning.policy.token_scores import CHUNK_BYTES
from eva_lightning.reports.planning.architectures import Architecture, kept_by_a_layer
from eva_lightning.reports.planning.asked import Asked

Basis = Literal["counted", "set", "assumed"]

GB = 10**9
RESERVE = 4 * GB
"""Assumed: CUDA's context, NCCL's buffers, cuBLAS's workspaces, and what the allocator can not use."""
VLLM_OVERHEAD = 3 * GB
"""Assumed: activations, graphs and workspaces of vLLM, out of its share."""
BUCKET = 500_000_000
"""Weights in a bucket of DeepSpeed's; its default."""
ADAM_CHUNK = 2**24
"""Weights that the optimizer moves at once."""
BUSY_LAYER = 1.5
"""Assumed: what the layer in its backward pass holds, in terms of what it keeps."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something on the card."""

    what: str
    """In a word or two."""
    learning: float
    """Bytes while the policy learns."""
    acting: float
    """Bytes while it writes turns."""
    basis: Basis
    """Where the number is from."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What of a policy moves."""

    weights: int
    """How many."""
    bytes_each: int
    """Bytes of each: adapters are float32 whatever the policy is."""

    @property
    def state(self) -> int:
        """Bytes of AdamW's means of each, and of the lower half of a bfloat16 weight."""
        return 10 if self.bytes_each == 2 else 8


def width(asked: Asked, architecture: Architecture) -> int:
    """Bytes of a weight of the policy."""
    return {"float32": 4, "bfloat16": 2, "auto": architecture.bytes_each}[asked.policy.dtype]


def trained(asked: Asked, architecture: Architecture) -> Trained:
    """What is trained of it. UsageError if that is nothing."""
    lora = asked.policy.lora
    if lora is not None:
        count = architecture.adapter(lora, architecture.language_linear)
        if not count:
            raise UsageError(f"no adapter for targets {lora.targets!r}: no linear layer has such a name")
        return Trained(weights=count, bytes_each=4)
    left = architecture.vision if asked.policy.freeze_vision else 0
    return Trained(weights=architecture.total - left, bytes_each=width(asked, architecture))


def on_a_card(
    asked: Asked, architecture: Architecture, ranks: int, card: float, judges: Sequence[Architecture] = ()
) -> list[Item]:
    """What a card of the trainer holds."""
    items = [*_policy(asked, architecture, ranks), *_passes(asked, architecture), *_kept_frames(asked)]
    if judges:
        held = sum(judge.total * judge.bytes_each for judge in judges)
        items.append(Item(what="judge", learning=held, acting=held, basis="counted"))
    items += _writing(asked, architecture, card)
    if asked.overlap and asked.writer == "vllm":  # both at once, in both phases
        items = [_all_the_time(item) for item in items]
    return [*items, Item(what="reserve", learning=RESERVE, acting=RESERVE, basis="assumed")]


def total(items: Iterable[Item]) -> tuple[float, float]:
    """Bytes while learning and while acting."""
    rows = list(items)
    return sum(item.learning for item in rows), sum(item.acting for item in rows)


def cache_tokens(asked: Asked, architecture: Architecture, card: float) -> int:
    """Tokens for which one vLLM has room, over the cards that share it; none if not even the weights fit."""
    each = width(asked, architecture)
    room = asked.vllm.gpu_memory * card - VLLM_OVERHEAD - architecture.total * each / asked.tensor_parallel
    return max(0, int(room * asked.tensor_parallel / (architecture.cached * each)))


def _policy(asked: Asked, architecture: Architecture, ranks: int) -> list[Item]:
    """Weights, gradients and state, as the strategy shares them out."""
    each, moving, strategy = width(asked, architecture), trained(asked, architecture), asked.strategy
    whole, own = architecture.total * each, moving.bytes_each
    adapter = moving.weights * own if asked.policy.lora else 0
    cut_weights = strategy in ("fsdp2", "zero3")
    cut_gradients = strategy != "ddp"
    cut_state = strategy != "ddp" or asked.sharded
    weights = (whole + adapter) / (ranks if cut_weights else 1)
    gradients = moving.weights * own / (ranks if cut_gradients else 1)
    state = moving.weights * _state(asked, moving) / (ranks if cut_state else 1)
    if asked.offload:
        state, weights = 0.0, 0.0 if strategy == "zero3" else weights
    items = [
        Item(what="weights", learning=weights, acting=weights, basis="counted"),
        Item(what="gradients", learning=gradients, acting=0, basis="counted"),
        Item(what="optimizer", learning=state, acting=state, basis="counted"),
    ]
    if ranks > 1:
        items += _exchanged(asked, architecture, moving)
    if asked.reference and not asked.policy.lora:
        copy = whole / (ranks if strategy == "fsdp2" else 1)
        items.append(Item(what="reference", learning=copy, acting=copy, basis="counted"))
    step = 4 * 4 * min(ADAM_CHUNK, moving.weights)
    return [*items, Item(what="optimizer's step", learning=step, acting=0, basis="set")]


def _state(asked: Asked, moving: Trained) -> int:
    """Bytes of the optimizer for each trained weight: DeepSpeed keeps a float32 copy of bfloat16 ones."""
    if asked.strategy in ("zero2", "zero3"):
        return 12 if moving.bytes_each == 2 else 8
    return moving.state


def _exchanged(asked: Asked, architecture: Architecture, moving: Trained) -> list[Item]:
    """What is gathered, or on its way to the other ranks."""
    each = width(asked, architecture)
    if asked.strategy == "ddp":  # DDP's own copy of the gradients, or the place where they are; it stays
        held = moving.weights * moving.bytes_each
        more = 0 if asked.bucket_view else held
        return [Item(what="DDP's buckets", learning=more, acting=held, basis="counted")]
    bucket = min(BUCKET, moving.weights) * moving.bytes_each
    if asked.strategy == "zero2":
        return [Item(what="ZeRO's buckets", learning=2 * bucket, acting=0, basis="assumed")]
    gathered = (architecture.root + 2 * architecture.block) * each
    acting = architecture.total * each if asked.writer == "policy" else 0  # it writes with whole weights
    if asked.strategy == "zero3":
        return [Item(what="gathered", learning=gathered + bucket, acting=acting, basis="assumed")]
    gradients = 0 if asked.policy.lora else (architecture.root + architecture.block) * each
    return [Item(what="gathered", learning=gathered + gradients, acting=acting, basis="set")]


def _passes(asked: Asked, architecture: Architecture) -> list[Item]:
    """What the largest forward pass keeps for its backward pass."""
    each, tokens = width(asked, architecture), -(-asked.pass_tokens // asked.sequence_ranks)
    dtype = torch.float32 if each == 4 else torch.bfloat16
    layer = kept_by_a_layer(architecture.config, 1024, dtype) / 1024 * tokens
    kept = architecture.layers * layer
    if asked.policy.gradient_checkpointing:
        kept = architecture.layers * tokens * architecture.hidden * each + BUSY_LAYER * layer
    items = [
        Item(what="activations", learning=kept, acting=0, basis="counted"),
        Item(what="logits", learning=_logits(asked), acting=0, basis="set"),
    ]
    if not asked.policy.lora:  # added up in float32 over the chunks
        items.append(Item(what="head's gradient", learning=4 * architecture.head, acting=0, basis="counted"))
    if not asked.policy.freeze_vision and not asked.policy.lora:  # as many patches as four times the tokens
        a_block = layer / architecture.hidden * architecture.vision_hidden * 4
        seen = architecture.vision_blocks * a_block
        if asked.policy.gradient_checkpointing:
            seen = architecture.vision_blocks * 4 * tokens * architecture.vision_hidden * each + a_block
        items.append(Item(what="activations, tower", learning=seen, acting=0, basis="assumed"))
    return items


def _logits(asked: Asked) -> float:
    """A chunk in float32, in half precision beside it, and for an entropy once more."""
    return CHUNK_BYTES * (2.5 if asked.stage == "GRPO" else 1.5)


def _kept_frames(asked: Asked) -> list[Item]:
    """What a frozen tower made of frames, where its weights are whole."""
    frozen = asked.policy.freeze_vision or asked.policy.lora is not None
    if not frozen or not asked.frames_gib or asked.strategy in ("fsdp2", "zero3"):
        return []
    kept = asked.frames_gib * 2**30
    return [Item(what="frames seen", learning=kept, acting=kept, basis="set")]


def _writing(asked: Asked, architecture: Architecture, card: float) -> list[Item]:
    """What whoever writes the turns holds on this card."""
    if asked.writer == "servers":
        return []
    if asked.writer == "policy":
        cache = asked.own_cache * architecture.cached * width(asked, architecture)
        return [Item(what="cache of keys and values", learning=0, acting=cache, basis="set")]
    share = asked.vllm.gpu_memory * card
    return [Item(what="vLLM", learning=0 if asked.sleeps else share, acting=share, basis="set")]


def _all_the_time(item: Item) -> Item:
    most = max(item.learning, item.acting)
    return Item(what=item.what, learning=most, acting=most, basis=item.basis)
