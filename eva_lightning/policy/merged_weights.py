"""The weights of a policy as its base checkpoint would hold them: adapters added to a copy, tensor by tensor.

The live model is only read. PEFT's own merge adds in place and takes away again, which does not give back the
same bits; here W + scale * B A is computed in float32 into a new tensor, one layer at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

from eva_lightning.faults import UsageError


def merged_weights(backbone: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names and whole tensors; unchanged ones are the live tensors themselves, so do not write into them.

    Under sharded strategies every rank must go through all of them: shards are gathered on the way.
    """
    adapted = {name: layer for name, layer in backbone.named_modules() if isinstance(layer, LoraLayer)}
    tied = bool(getattr(backbone.config, "tie_word_embeddings", False))
    for name, layer in adapted.items():
        if type(layer) is not Linear or any(layer.use_dora.values()):
            raise UsageError(f"the adapter of {name} can not be merged: only plain LoRA on linear layers can")
        if tied and name == "lm_head":
            raise UsageError("lm_head shares its weights with the embedding: its adapter can not be merged")
    for name, value in backbone.state_dict(keep_vars=True).items():
        if ".lora_" in name or (tied and name == "lm_head.weight"):
            continue
        adapter = adapted.get(name.removesuffix(".base_layer.weight"))
        plain = name.replace(".base_layer.", ".")
        yield plain, whole(value) if adapter is None else _merged(value, adapter)


def is_sharded(model: nn.Module) -> bool:
    """Whether no rank has all of it."""
    return any(hasattr(value, "ds_id") or hasattr(value, "full_tensor") for value in model.parameters())


def whole(value: Any) -> Tensor:
    """A tensor of all shards: as it is, or gathered from DTensor (FSDP2) or from DeepSpeed ZeRO-3."""
    if hasattr(value, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([value]):
            gathered: Tensor = value.detach().clone()
            return gathered
    full: Tensor = value.detach().full_tensor() if hasattr(value, "full_tensor") else value.detach()
    return full


@torch.no_grad()
def _merged(value: Tensor, layer: Any) -> Tensor:
    base = whole(value)
    total = base.float()
    for adapter in layer.active_adapters:
        if adapter in layer.lora_A:
            down, up = (whole(part[adapter].weight).float() for part in (layer.lora_A, layer.lora_B))
            total = total + layer.scaling[adapter] * (up @ down)
    return total.to(base.dtype)
