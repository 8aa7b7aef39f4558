"""The families that can be trained, and which of them a checkpoint belongs to: its config.json says so."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import nn
from transformers import AutoConfig, PreTrainedModel

from eva_lightning.faults import UsageError, first_line
from eva_lightning.policy.families.base import Family
from eva_lightning.policy.families.qwen3 import Qwen3
from eva_lightning.policy.families.qwen3_vl import Qwen3VL
from eva_lightning.policy.families.qwen25_vl import Qwen25VL

FAMILIES: tuple[Family, ...] = (Qwen25VL(), Qwen3(), Qwen3VL())
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
