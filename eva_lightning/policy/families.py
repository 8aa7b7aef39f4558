"""The families of models that can be trained, and what is particular to each: all of it stands here.

How a conversation is spelled comes from the checkpoint's chat template, who shares a forward pass from the
engine and the packing, what is learned from the objectives: none of them knows which family it serves. A
checkpoint belongs to the family that its config.json names as `model_type`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    GenerationConfig,
    PreTrainedModel,
    Qwen2_5_VLForConditionalGeneration,
)

from eva_lightning.faults import UsageError, first_line
from eva_lightning.policy.attention import BY_TRAJECTORY
from eva_lightning.policy.pixels import ImageSettings
from eva_lightning.policy.positions import mrope_positions
from eva_lightning.policy.row_share import RowShare

Seen = tuple[Tensor, ...]
"""What the vision tower made of some frames, [visual tokens, width]: what stands in the place of the image
tokens, and where a family wants it, more that is added to deeper layers.
"""


class Family(ABC):
    """A kind of model. Its methods are lent the bare model (`backbone`) and keep nothing."""

    model_type: ClassVar[str]
    """What config.json calls it."""
    image_token: ClassVar[str | None]
    """Special token that stands for one visual token; None if it sees nothing."""
    images: ClassVar[ImageSettings | None]
    """How it wants its frames, if the checkpoint does not say otherwise; None if it sees nothing."""
    language_linear: ClassVar[str]
    """Regular expression of every linear layer of the language model, and of none of the vision tower."""

    @abstractmethod
    def load(self, path: str, **how: Any) -> PreTrainedModel:
        """The model with its weights; `how` are the words of transformers' `from_pretrained`."""

    def empty(self, path: str, *, revision: str, dtype: str, attn_implementation: str) -> PreTrainedModel:
        """The same model on the meta device: what it is made of, and no weights."""
        config = AutoConfig.from_pretrained(path, revision=revision)
        kind = config.dtype if dtype == "auto" else getattr(torch, dtype)
        architecture: Any = AutoModelForImageTextToText
        with torch.device("meta"):
            model = architecture.from_config(config, dtype=kind, attn_implementation=attn_implementation)
        model.generation_config = GenerationConfig.from_pretrained(path, revision=revision)
        return cast(PreTrainedModel, model.eval())

    @abstractmethod
    def decoder(self, model: Any) -> Any:
        """The layers of the language model."""

    @abstractmethod
    def tower(self, model: Any) -> nn.Module | None:
        """The vision tower; None if it has none."""

    def blocks(self, model: Any) -> list[nn.Module]:
        """The layers, of the tower and of the language model, that are gathered one at a time in shards."""
        return [*getattr(self.tower(model), "blocks", ()), *self.decoder(model).layers]

    def head(self, model: Any) -> nn.Linear:
        """Hidden states to logits."""
        return cast(nn.Linear, model.lm_head)

    def positions(self, ids: Sequence[int], grid: Tensor, image_token_id: int | None) -> Tensor:
        """Positions int64 [3, S] of expanded ids, of which text has three that are equal."""
        return mrope_positions(ids, grid, image_token_id, self.images.merge if self.images else 1)

    @abstractmethod
    def hidden(
        self,
        model: Any,
        ids: Tensor,
        positions: Tensor,
        *,
        borders: Tensor,
        longest: int,
        seen: Seen = (),
        share: RowShare | None = None,
    ) -> Tensor:
        """Last hidden states [1, length, width] of trajectories in a row, as the trainer reads them.

        Args:
            model: The bare model.
            ids: Expanded ids, [1, length].
            positions: Text positions, which begin again with each trajectory, and the three of `positions`
                above, [4, 1, length].
            borders: Where each trajectory begins, and where the last one ends.
            longest: Tokens of the longest one.
            seen: What the image tokens stand for.
            share: Who reads the row with us: ids and positions are our part of it. To be handed on to
                `attention`.
        """

    @abstractmethod
    def see(self, model: Any, values: Tensor, grid: Tensor) -> Seen:
        """Frames through the vision tower."""

    @abstractmethod
    def read(
        self, model: Any, ids: Tensor, positions: Tensor, *, mask: Tensor | None, cache: Any, seen: Seen = ()
    ) -> Tensor:
        """Last hidden states [rows, length, width] of what follows a cache, as our own engine reads it.

        Args:
            model: The bare model.
            ids: Expanded ids of the new tokens, [rows, length].
            positions: The three of `positions` above, [3, rows, length].
            mask: Which keys each of them may see; None lets the kernel do it.
            cache: What was read before, and where this is added.
            seen: What the new image tokens stand for.
        """


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

    def hidden(
        self,
        model: Any,
        ids: Tensor,
        positions: Tensor,
        *,
        borders: Tensor,
        longest: int,
        seen: Seen = (),
        share: RowShare | None = None,
    ) -> Tensor:
        unmasked = model.config._attn_implementation == BY_TRAJECTORY  # others make a mask of the positions
        states: Tensor = model.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask={"full_attention": None} if unmasked else None,
            mm_encoder_outputs={"image": SimpleNamespace(pooler_output=seen)} if seen else None,
            use_cache=False,
            cu_seq_lens_q=borders,
            cu_seq_lens_k=borders,
            max_length_q=longest,
            max_length_k=longest,
            share=share,
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


FAMILIES: tuple[Family, ...] = (Qwen25VL(),)
"""Those that can be trained."""


def family_at(path: str | Path, revision: str = "main") -> Family:
    """The family of a checkpoint: a folder or a name on the model hub. UsageError if there is none."""
    try:
        config = AutoConfig.from_pretrained(str(path), revision=revision)
    except (OSError, ValueError) as problem:
        raise UsageError(
            f"{path} is no folder here, and the model hub gave us no such checkpoint: {first_line(problem)}"
        ) from None
    return family_named(config.model_type, path)


def family_of(model: nn.Module) -> Family:
    """The family of a loaded model, or of the model in an adapter."""
    return family_named(backbone(model).config.model_type, type(model).__name__)


def family_named(model_type: str, what: str | Path) -> Family:
    """The family that config.json calls so; `what` is named if there is none."""
    for family in FAMILIES:
        if family.model_type == model_type:
            return family
    known = ", ".join(family.model_type for family in FAMILIES)
    raise UsageError(f"{what} is a {model_type} checkpoint; the families that can be trained here: {known}")


def backbone(model: nn.Module) -> PreTrainedModel:
    """The bare model, inside an adapter or not."""
    return cast(PreTrainedModel, getattr(model, "get_base_model", lambda: model)())
