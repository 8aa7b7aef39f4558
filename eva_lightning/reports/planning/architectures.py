"""Architectures: how many weights a policy has, and where, counted on the meta device without reading any.

Real classes are built from a folder's config.json, or from the sizes below for those that everybody trains.
What the numbers mean for a card is for `memory`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoConfig

from eva_lightning.faults import UsageError
from eva_lightning.policy.families import family_at, family_named
from eva_lightning.policy.loading import Lora

SIZES: Mapping[str, tuple[int, int, int, int, int, int, bool, int]] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": (2048, 11_008, 36, 16, 2, 151_936, True, 3420),
    "Qwen/Qwen2.5-VL-7B-Instruct": (3584, 18_944, 28, 28, 4, 152_064, False, 3420),
    "Qwen/Qwen2.5-VL-32B-Instruct": (5120, 27_648, 64, 40, 8, 152_064, False, 3456),
    "Qwen/Qwen2.5-VL-72B-Instruct": (8192, 29_568, 80, 64, 8, 152_064, False, 3456),
}
"""From config.json of each on the hub: hidden_size, intermediate_size, num_hidden_layers,
num_attention_heads, num_key_value_heads, vocab_size, tie_word_embeddings, and intermediate_size of the tower.
The rest of the tower is the same in all of them (32 blocks of 1280, 16 heads, whole attention in blocks 7,
15, 23 and 31)."""

USUAL = "Qwen/Qwen2.5-VL-7B-Instruct"
"""What is planned for while the policy's folder is not there yet."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Architecture:
    """What a policy is made of."""

    name: str
    """Its name on the hub, or its folder."""
    total: int
    """All weights; a head that is the embedding counts once."""
    vision: int
    """Those of the vision tower."""
    block: int
    """Those of the largest block: what sharded strategies gather at once."""
    root: int
    """Those in no block: embedding, head, norms, merger."""
    embedding: int
    """Those of the embedding, which costs no arithmetic."""
    head: int
    """Those of the head."""
    tied: bool
    """Whether those are the embedding's, too."""
    linear: tuple[tuple[str, int, int], ...]
    """Full name, inputs and outputs of each linear layer, for adapters."""
    bytes_each: int
    """Bytes of a weight in the checkpoint."""
    layers: int
    """Layers of the language model."""
    hidden: int
    """Their width."""
    heads: int
    """Attention heads of a layer."""
    cached: int
    """Numbers that a token leaves in the cache of keys and values, in all layers."""
    vision_blocks: int
    """Blocks of the tower."""
    vision_hidden: int
    """Their width."""
    config: Any
    """What transformers calls its config."""

    def adapter(self, lora: Lora, family_linear: str) -> int:
        """Weights of an adapter on it; 0 if it fits no layer."""
        wanted = lora.targets or family_linear
        if isinstance(wanted, str):
            chosen = [one for one in self.linear if re.fullmatch(wanted, one[0])]
        else:
            chosen = [one for one in self.linear if any(_ends(one[0], target) for target in wanted)]
        return sum(lora.rank * (inputs + outputs) for _, inputs, outputs in chosen)

    @property
    def language_linear(self) -> str:
        """Which layers an adapter takes if nobody says it."""
        return family_named(self.config.model_type, self.name).language_linear


def architecture_at(path: str) -> Architecture | None:
    """That of a folder, or of one of the known names; None where there is no such folder yet."""
    folder = Path(path).expanduser()
    if (folder / "config.json").is_file():
        family_at(folder)  # refuses those that can not be trained
        return counted(path, AutoConfig.from_pretrained(folder))
    if folder.is_dir():
        raise UsageError(f"{path} is no checkpoint: it has no config.json")
    return counted(path, _known(path)) if path in SIZES else None


def counted(name: str, config: Any) -> Architecture:
    """What a config makes, counted on the meta device."""
    family = family_named(config.model_type, name)
    with torch.device("meta"):
        model = family.random(config)
    text, tower, decoder = config.get_text_config(), family.tower(model), family.decoder(model)
    seen = list(getattr(tower, "blocks", ()))
    blocks = [_count(block) for block in [*seen, *decoder.layers]]
    total = _count(model)
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return Architecture(
        name=name,
        total=total,
        vision=0 if tower is None else _count(tower),
        block=max(blocks),
        root=total - sum(blocks),
        embedding=_count(model.get_input_embeddings()),
        head=_count(family.head(model)),
        tied=family.head(model).weight is model.get_input_embeddings().weight,
        linear=tuple(
            (name, part.in_features, part.out_features)
            for name, part in model.named_modules()
            if isinstance(part, nn.Linear)
        ),
        bytes_each=4 if config.dtype in (torch.float32, "float32") else 2,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        heads=text.num_attention_heads,
        cached=2 * text.num_hidden_layers * text.num_key_value_heads * width,
        vision_blocks=len(seen),
        vision_hidden=0 if tower is None else config.vision_config.hidden_size,
        config=config,
    )


def kept_by_a_layer(config: Any, tokens: int, dtype: torch.dtype) -> int:
    """Bytes that one layer of the language model keeps for its backward pass, with fused attention.

    Real layers see fake tensors, which have sizes and no contents: two layers, less what one keeps.
    """
    return _kept(config, 2, tokens, dtype) - _kept(config, 1, tokens, dtype)


def _kept(config: Any, layers: int, tokens: int, dtype: torch.dtype) -> int:
    small = deepcopy(config)
    text = small.get_text_config()
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    if hasattr(small, "vision_config"):  # its blocks are not asked for
        small.vision_config.depth = 1
        small.vision_config.fullatt_block_indexes = small.vision_config.deepstack_visual_indexes = [0]
    family = family_named(config.model_type, "")
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()
        alive.append(tensor)
        return tensor

    alive: list[Tensor] = []
    with FakeTensorMode():
        model = family.random(small, dtype=dtype)
        own = {weight.untyped_storage()._cdata for weight in family.decoder(model).parameters()}
        states = torch.zeros(1, tokens, text.hidden_size, dtype=dtype, requires_grad=True)
        places = torch.arange(tokens).expand(4, 1, tokens)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            family.layers(model, states, places)
    return sum(size for storage, size in sizes.items() if storage not in own)


def _known(name: str) -> Any:
    hidden, wide, layers, heads, groups, words, tied, tower = SIZES[name]
    text = {
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "vocab_size": words,
        "tie_word_embeddings": tied,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    }
    vision = {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": tower,
        "num_heads": 16,
        "out_hidden_size": hidden,
        "fullatt_block_indexes": [7, 15, 23, 31],
    }
    return AutoConfig.for_model(
        "qwen2_5_vl",
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=tied,
        dtype="bfloat16",
    )


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
