"""Qwen2.5-VL: frames as images, M-RoPE, a tower that attends in windows."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen2_5_VLForConditionalGeneration

from eva_lightning.policy.attention import BY_TRAJECTORY
from eva_lightning.policy.families.base import Family, Seen
from eva_lightning.policy.pixels import ImageSettings
from eva_lightning.policy.row import Row


class Qwen25VL(Family):
    """Qwen2.5-VL: frames as images, M-RoPE, a window-attention tower."""

    model_type = "qwen2_5_vl"
    image_token = "<|image_pad|>"
    images = ImageSettings(
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        side=14,
        merge=2,
        times=2,
    )
    language_linear = r".*language_model\..*\.(q|k|v|o|gate|up|down)_proj"

    def load(self, path: str, **how: Any) -> PreTrainedModel:
        return cast(PreTrainedModel, Qwen2_5_VLForConditionalGeneration.from_pretrained(path, **how))

    def decoder(self, model: Any) -> Any:
        return model.model.language_model

    def tower(self, model: Any) -> nn.Module:
        return cast(nn.Module, model.model.visual)

    def hidden(self, model: Any, ids: Tensor, positions: Tensor, row: Row, seen: Seen = ()) -> Tensor:
        unmasked = model.config._attn_implementation == BY_TRAJECTORY  # others make a mask of the positions
        states: Tensor = model.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask={"full_attention": None} if unmasked else None,
            mm_encoder_outputs={"image": SimpleNamespace(pooler_output=seen)} if seen else None,
            use_cache=False,
            **row.words,
        ).last_hidden_state
        return states

    def layers(self, model: Any, embedded: Tensor, positions: Tensor) -> Tensor:
        states: Tensor = self.decoder(model)(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask={"full_attention": None},
            use_cache=False,
        ).last_hidden_state
        return states

    def see(self, model: Any, values: Tensor, grid: Tensor) -> Seen:
        frames: Sequence[Tensor] = model.model.get_image_features(
            values, grid, return_dict=True
        ).pooler_output
        return (torch.cat(list(frames)),)

    def read(
        self, model: Any, ids: Tensor, positions: Tensor, *, mask: Tensor | None, cache: Any, seen: Seen = ()
    ) -> Tensor:
        embedded: Tensor = model.get_input_embeddings()(ids)
        if seen:
            frames = (ids == model.config.image_token_id)[..., None]
            embedded = embedded.masked_scatter(frames, seen[0].to(embedded.dtype))
        states: Tensor = self.decoder(model)(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask={"full_attention": mask},
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return states
