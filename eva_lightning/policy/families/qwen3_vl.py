"""Qwen3-VL: squares of 32 pixels, and frames that are added to the first layers, too (deepstack)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen3VLForConditionalGeneration

from eva_lightning.policy.attention import BY_TRAJECTORY
from eva_lightning.policy.families.base import Family, Seen
from eva_lightning.policy.pixels import ImageSettings
from eva_lightning.policy.row import Row


class Qwen3VL(Family):
    """Qwen3-VL, dense: frames as images, M-RoPE whose three axes are interleaved inside the model."""

    model_type = "qwen3_vl"
    image_token = "<|image_pad|>"
    images = ImageSettings(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), side=16, merge=2, times=2)
    language_linear = r".*language_model\..*\.(q|k|v|o|gate|up|down)_proj"

    def load(self, path: str, **how: Any) -> PreTrainedModel:
        return cast(PreTrainedModel, Qwen3VLForConditionalGeneration.from_pretrained(path, **how))

    def decoder(self, model: Any) -> Any:
        return model.model.language_model

    def tower(self, model: Any) -> nn.Module:
        return cast(nn.Module, model.model.visual)

    def hidden(self, model: Any, ids: Tensor, positions: Tensor, row: Row, seen: Seen = ()) -> Tensor:
        # Without text positions it makes no mask of them, which our kernel has no need of.
        unmasked = model.config._attn_implementation == BY_TRAJECTORY
        states: Tensor = model.model(
            input_ids=ids,
            position_ids=positions[1:] if unmasked else positions,
            mm_encoder_outputs={"image": _as_the_tower_says(seen)} if seen else None,
            use_cache=False,
            **row.words,
        ).last_hidden_state
        return states

    def layers(self, model: Any, embedded: Tensor, positions: Tensor) -> Tensor:
        states: Tensor = self.decoder(model)(
            inputs_embeds=embedded,
            position_ids=positions[1:],
            attention_mask=None,
            use_cache=False,
        ).last_hidden_state
        return states

    def see(self, model: Any, values: Tensor, grid: Tensor) -> Seen:
        found = model.model.get_image_features(values, grid, return_dict=True)
        return tuple(torch.cat(list(layer)) for layer in (found.pooler_output, *found.deepstack_features))

    def read(
        self, model: Any, ids: Tensor, positions: Tensor, *, mask: Tensor | None, cache: Any, seen: Seen = ()
    ) -> Tensor:
        embedded: Tensor = model.get_input_embeddings()(ids)
        frames = ids == model.config.image_token_id
        if seen:
            embedded = embedded.masked_scatter(frames[..., None], seen[0].to(embedded.dtype))
        states: Tensor = self.decoder(model)(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            visual_pos_masks=frames if seen else None,
            deepstack_visual_embeds=list(seen[1:]) if seen else None,
        ).last_hidden_state
        return states


def _as_the_tower_says(seen: Seen) -> SimpleNamespace:
    """Frames in the shape in which transformers hands them on."""
    return SimpleNamespace(pooler_output=seen[:1], deepstack_features=[[layer] for layer in seen[1:]])
