"""What a stage tells of itself: to its checkpoints, and to the card of an export. It changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eva_lightning.files.encoding import encode
from eva_lightning.modules.contracts import Counted
from eva_lightning.reports.lineage import Stage

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

TOLD = ("optimizer_config", "objective", "limits", "overview")
"""Groups of options that decide what is learned, as far as a stage has them; none holds a path."""


def stage_of(module: LightningModule) -> Stage:
    """What it is, what it learns from, and what is set otherwise than usual."""
    trainer: Any = module.trainer
    data = getattr(trainer, "datamodule", None)
    settings: dict[str, Any] = {}
    for name in TOLD:
        value = getattr(module, name, None)
        if is_dataclass(value):
            group = name.removesuffix("_config")
            settings |= {f"{group}.{option}": one for option, one in encode(value).items()}
    lora = getattr(getattr(module, "policy_config", None), "lora", None)
    if lora is not None:
        settings |= {f"lora.{option}": one for option, one in vars(lora).items()}
    for name in ("attempts", "mini_batches", "seed"):
        if hasattr(module, name):
            settings[name] = getattr(module, name)
    if hasattr(module, "dialect"):
        named: Any = module
        settings["agent.dialect"] = type(named.dialect).__name__
        settings["agent.tools"] = [type(tool).__name__ for tool in named.tools]
    settings |= {"precision": trainer.precision, "ranks": trainer.world_size}
    batch = getattr(data, "batch_size", None)
    if batch is not None:
        settings["batch_size"] = batch
    counts = Counter[str]()
    for path, count in data.counts().items() if isinstance(data, Counted) else ():
        counts[_portable(path)] += count
    return Stage(
        name=type(module).__name__.removesuffix("Module"),
        iterations=int(getattr(module, "iteration", 0)),
        data=dict(counts),
        settings={name: value for name, value in settings.items() if _is_plain(value)},
    )


def log_folder(trainer: Trainer) -> Path:
    """Where a run writes what it tells. A collective: every rank must ask.

    Not every logger has a folder (MLflow's is a server's).
    """
    return Path(trainer.log_dir or trainer.default_root_dir)


def _is_plain(value: Any) -> bool:
    """Whether JSON can hold it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _portable(name: str) -> str:
    """Without a path of this machine, which helps nobody."""
    return Path(name).name if Path(name).is_absolute() else name
