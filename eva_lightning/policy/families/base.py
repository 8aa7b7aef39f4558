"""A family of models, as the rest of the house sees it: what it must say of itself, and what it must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationConfig,
    PreTrainedModel,
)

from eva_lightning.policy.pixels import ImageSettings
from eva_lightning.policy.positions import mrope_positions
from eva_lightning.policy.row import Row

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
        with torch.device("meta"):
            model = self.random(config, dtype=kind, attn_implementation=attn_implementation)
        model.generation_config = GenerationConfig.from_pretrained(path, revision=revision)
        model.train(False)
        return model

    def random(self, config: Any, **how: Any) -> PreTrainedModel:
        """A model of this config with random weights; `how` are the words of transformers' `from_config`."""
        architecture: Any = AutoModelForCausalLM if self.images is None else AutoModelForImageTextToText
        return cast(PreTrainedModel, architecture.from_config(config, **how))

    @abstractmethod
    def decoder(self, model: Any) -> Any:
        """The layers of the language model."""

    @abstractmethod
    def tower(self, model: Any) -> nn.Module | None:
        """The vision tower; None if it has none."""

    def slides(self, model: Any) -> bool:
        """Whether some layers forget what is far behind, which our own engine does not know how to."""
        return bool(getattr(self.decoder(model), "has_sliding_layers", False))

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
    def hidden(self, model: Any, ids: Tensor, positions: Tensor, row: Row, seen: Seen = ()) -> Tensor:
        """Last hidden states [1, length, width] of trajectories in a row, as the trainer reads them.

        Args:
            model: The bare model.
            ids: Expanded ids, [1, length].
            positions: Text positions, which begin again with each trajectory, and the three of `positions`
                above, [4, 1, length].
            row: Where each trajectory begins, and who reads it with us; its `words` are for `attention`.
            seen: What the image tokens stand for.
        """

    @abstractmethod
    def layers(self, model: Any, embedded: Tensor, positions: Tensor) -> Tensor:
        """The layers of the language model alone, on one trajectory that is embedded already.

        `embedded` is [1, length, width], `positions` are those of `hidden`.
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
