"""Qwen3: a language model without eyes, for worlds of words."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor
from transformers import PreTrainedModel, Qwen3ForCausalLM

from eva_lightning.policy.attention import BY_TRAJECTORY
from eva_lightning.policy.families.base import Family, Seen
from eva_lightning.policy.row import Row


class Qwen3(Family):
    """Qwen3 of any size: one axis of positions, nothing to see."""

    model_type = "qwen3"
    image_token = None
    images = None
    language_linear = r".*layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"

    def load(self, path: str, **how: Any) -> PreTrainedModel:
        return cast(PreTrainedModel, Qwen3ForCausalLM.from_pretrained(path, **how))

    def decoder(self, model: Any) -> Any:
        return model.model

    def tower(self, model: Any) -> None:
        return None

    def hidden(self, model: Any, ids: Tensor, positions: Tensor, row: Row, seen: Seen = ()) -> Tensor:
        unmasked = model.config._attn_implementation == BY_TRAJECTORY  # others make a mask of the positions
        states: Tensor = self.decoder(model)(
            input_ids=ids,
            position_ids=positions[0],
            attention_mask={"full_attention": None} if unmasked else None,
            use_cache=False,
            **row.words,
        ).last_hidden_state
        return states

    def layers(self, model: Any, embedded: Tensor, positions: Tensor) -> Tensor:
        states: Tensor = self.decoder(model)(
            inputs_embeds=embedded,
            position_ids=positions[0],
            attention_mask={"full_attention": None},
            use_cache=False,
        ).last_hidden_state
        return states

    def see(self, model: Any, values: Tensor, grid: Tensor) -> Seen:
        raise ValueError("a model without eyes was shown frames")

    def read(
        self, model: Any, ids: Tensor, positions: Tensor, *, mask: Tensor | None, cache: Any, seen: Seen = ()
    ) -> Tensor:
        states: Tensor = self.decoder(model)(
            input_ids=ids,
            position_ids=positions[0],
            attention_mask={"full_attention": mask},
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return states
