"""Loading: a checkpoint becomes a policy that can be trained.

Weights, adapter, renderer and colours are in one hand.

Folders and names on the model hub are treated alike, and nothing is fetched if it is already here. Where the
weights live (device, shards) is decided by whoever trains or serves them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

from eva_lightning.faults import UsageError, first_line
from eva_lightning.policy.attention import attend_by_trajectory
from eva_lightning.policy.families import Family, backbone, family_at
from eva_lightning.policy.pixels import ImageSettings
from eva_lightning.policy.renderer import Renderer


@dataclass(kw_only=True)
class Lora:
    """A low-rank adapter on top of frozen weights."""

    rank: int = 64
    """Rank of the update of each layer."""
    alpha: int = 128
    """The update is scaled by alpha / rank."""
    dropout: float = 0.0
    """Dropout in front of the update. Above 0 the trainer's log-probs differ from the engine's."""
    targets: str | list[str] | None = None
    """Which layers: a regular expression of the full name, or a list of name endings. None is every linear
    layer of the language model, and none of the vision tower."""


@dataclass(kw_only=True)
class PolicyConfig:
    """Which checkpoint to train, and what of it."""

    path: str
    """Folder of a checkpoint, or its name on the model hub."""
    revision: str = "main"
    """Commit, tag or branch on the hub."""
    dtype: Literal["float32", "bfloat16", "auto"] = "auto"
    """Type of the weights; auto is that of the checkpoint."""
    attention: Literal["by_trajectory", "sdpa", "eager", "flash_attention_2"] = "by_trajectory"
    """by_trajectory pays for no pair of tokens of two trajectories: torch's flash attention on a GPU, a call
    for each trajectory elsewhere. The others are transformers' kernels; sdpa and eager mask such pairs."""
    lora: Lora | None = None
    """Train an adapter only; None trains the weights themselves."""
    freeze_vision: bool = True
    """Keep the vision tower as it is. With an adapter its weights stay frozen in any case."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""


@dataclass(kw_only=True, eq=False)
class Policy:
    """A model with the way of writing and seeing that belongs to it."""

    path: str
    """Folder or hub name of the checkpoint it was read from."""
    revision: str = "main"
    """Commit, tag or branch on the hub."""
    model: nn.Module
    """What is trained: the checkpoint's model, or the adapter around it."""
    family: Family
    """What is particular to this kind of model."""
    renderer: Renderer
    """Messages to ids and back."""
    images: ImageSettings | None
    """How frames become pixel values; None if it sees nothing."""

    @property
    def backbone(self) -> PreTrainedModel:
        """The checkpoint's model itself, inside an adapter or not."""
        return backbone(self.model)

    @property
    def max_positions(self) -> int:
        """The longest conversation in tokens, frames included."""
        return int(self.backbone.config.get_text_config().max_position_embeddings)


def load_policy(config: PolicyConfig, *, weights: bool = True) -> Policy:
    """Read a checkpoint and make it ready to train. UsageError says in one line what is wrong with it.

    Without `weights` its tensors are on the meta device, for whoever brings them in shards.
    """
    family = _family(config)
    path = str(Path(config.path).expanduser()) if _is_folder(config.path) else config.path
    try:
        read = family.load if weights else family.empty
        model = read(
            path,
            revision=config.revision,
            dtype=config.dtype,
            attn_implementation="sdpa" if config.attention == "by_trajectory" else config.attention,
        )
    except (OSError, ImportError, ValueError) as problem:
        raise UsageError(f"the weights of {config.path} can not be loaded: {first_line(problem)}") from None
    if config.attention == "by_trajectory":
        attend_by_trajectory(model)
    model.config._name_or_path = ""  # it would be written into every checkpoint made from this one
    tower = family.tower(model)
    if tower is not None and config.freeze_vision:
        tower.requires_grad_(False)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    renderer = Renderer.from_pretrained(path, revision=config.revision)
    trained = adapted(model, config.lora, family) if config.lora else model
    return Policy(
        path=path,
        revision=config.revision,
        model=trained,
        family=family,
        renderer=renderer,
        images=_image_settings(family, path, config.revision),
    )


def _family(config: PolicyConfig) -> Family:
    """What kind of model it is; says what is wrong before anything large is read."""
    on_hub = config.path.count("/") == 1 and not config.path.startswith(("/", ".", "~"))  # owner/name
    if not on_hub and not _is_folder(config.path):
        raise UsageError(f"there is no folder {config.path}")
    if _is_folder(config.path) and not (Path(config.path).expanduser() / "config.json").is_file():
        raise UsageError(f"{config.path} is no checkpoint: it has no config.json")
    return family_at(Path(config.path).expanduser(), config.revision)


def adapted(model: PreTrainedModel, lora: Lora, family: Family) -> nn.Module:
    """A model with an adapter that is trained in its stead."""
    targets = lora.targets or family.language_linear
    settings = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    try:
        return cast(nn.Module, get_peft_model(model, settings))
    except ValueError as problem:
        raise UsageError(f"no adapter for targets {targets!r}: {first_line(problem)}") from None


def _image_settings(family: Family, path: str, revision: str) -> ImageSettings | None:
    if family.images is None:
        return None
    file = file_of(path, "preprocessor_config.json", revision)
    return family.images.with_colours_of(file) if file else family.images


def file_of(path: str, name: str, revision: str) -> Path | None:
    """A file of a checkpoint, in its folder or on the hub; None if it has none, or is out of reach."""
    found = cached_file(
        str(Path(path).expanduser()) if _is_folder(path) else path,
        name,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def _is_folder(path: str) -> bool:
    return Path(path).expanduser().is_dir()
