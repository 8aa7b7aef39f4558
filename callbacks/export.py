"""The trained policy as a Hugging Face folder, for whoever knows nothing of us: vLLM, transformers, a hub.

It is what the next stage loads (`policy.path`). It holds no optimizer: to go on training, use a checkpoint.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor
from transformers.utils import logging
from transformers.utils.hub import cached_file

from eva_lightning.faults import UsageError
from eva_lightning.files import atomic
from eva_lightning.files.full_disk import writing
from eva_lightning.policy.loading import Policy, PolicyConfig
from eva_lightning.policy.merged_weights import is_sharded, merged_weights, whole

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule

COMPANIONS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
)
"""Files beside the weights; those that the source checkpoint has are copied."""


class HuggingFaceExport(Callback):
    """Writes the policy as a Hugging Face folder at the end of fit, and on the way if wished.

    The end goes to `final`, the rest to `iteration-000040` and so on. A folder appears whole or not at all.
    """

    def __init__(
        self, folder: str | None = None, at_end: bool = True, every: int | None = None, adapter: bool = False
    ) -> None:
        """
        Args:
            folder: Where these folders go; None is `export` in the trainer's default_root_dir.
            at_end: Export at the end of fit.
            every: Iterations between two exports on the way; None makes none.
            adapter: Write the adapter alone, in PEFT's layout. False merges it into a copy of the weights.
        """
        if every is not None and every < 1:
            raise UsageError(f"HuggingFaceExport: every is {every}; want 1 or more, or null")
        self.folder = folder
        self.at_end = at_end
        self.every = every
        self.adapter = adapter

    def on_train_start(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        if self.adapter and not isinstance(pl_module.policy.model, PeftModel):
            raise UsageError("HuggingFaceExport: adapter is true, but the policy has none; set policy.lora")
        folder = self._folder(trainer)
        if trainer.is_global_zero and folder.is_dir() and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            atomic.sweep(folder)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.every and pl_module.iteration % self.every == 0:
            self._export(trainer, pl_module, f"iteration-{pl_module.iteration:06d}")

    def on_train_end(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        if self.at_end:
            self._export(trainer, pl_module, "final")

    def _folder(self, trainer: Trainer) -> Path:
        return Path(self.folder or Path(trainer.default_root_dir) / "export").expanduser().absolute()

    def _export(self, trainer: Trainer, module: PolicyModule, name: str) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = self._folder(trainer) / name
        if trainer.is_global_zero:
            export(module.policy, module.policy_config, path, adapter=self.adapter)
            rank_zero_info(f"the policy after iteration {module.iteration} is in {path}")
        elif is_sharded(module.policy.model):
            _weights(module.policy, self.adapter, keep=False)  # its shards are needed
        trainer.strategy.barrier("HuggingFaceExport")


def export(policy: Policy, config: PolicyConfig, folder: Path, *, adapter: bool = False) -> None:
    """Write one folder, replacing what has its name. The live model is only read."""
    with writing(folder, "make room, and go on with --ckpt_path last"), atomic.appearing(folder) as part:
        part.mkdir(parents=True)
        weights = _weights(policy, adapter, keep=True)
        if adapter:
            _save_adapter(policy, config, weights, part)
        else:
            _save_quietly(policy, weights, part)
        for name in COMPANIONS:
            _copy(config, name, part / name)


def _weights(policy: Policy, adapter: bool, *, keep: bool) -> dict[str, Tensor]:
    """What the folder holds, gathered from all ranks; ranks that write nothing keep nothing."""
    found: Iterator[tuple[str, Tensor]]
    if adapter:
        names = get_peft_model_state_dict(
            policy.model, policy.model.state_dict(keep_vars=True), save_embedding_layers=False
        )
        found = ((name, whole(value)) for name, value in names.items())
    else:
        found = merged_weights(policy.backbone)
    kept = {}
    for name, tensor in found:
        if keep:
            kept[name] = tensor.cpu()  # one at a time: the device never holds a second model
    return kept


def _save_quietly(policy: Policy, weights: dict[str, Tensor], folder: Path) -> None:
    bar: Any = logging  # untyped there
    shown = bar.is_progress_bar_enabled()
    bar.disable_progress_bar()
    policy.backbone.save_pretrained(folder, state_dict=weights)
    if shown:
        bar.enable_progress_bar()


def _save_adapter(policy: Policy, config: PolicyConfig, weights: dict[str, Tensor], folder: Path) -> None:
    adapted: Any = policy.model
    settings = copy.deepcopy(adapted.peft_config["default"])
    is_folder = Path(config.path).expanduser().is_dir()
    # A path of this machine helps nobody.
    settings.base_model_name_or_path = None if is_folder else config.path
    settings.revision = None if is_folder else config.revision
    settings.inference_mode = True
    settings.save_pretrained(folder)
    contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(contiguous, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _copy(config: PolicyConfig, name: str, target: Path) -> None:
    """One file of the source checkpoint, without the path that some tools write into it."""
    root = Path(config.path).expanduser()
    found = cached_file(
        str(root) if root.is_dir() else config.path,
        name,
        revision=config.revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if found is None:
        return
    row = json.loads(Path(found).read_text(encoding="utf-8")) if name.endswith("_config.json") else {}
    if "name_or_path" in row or "_name_or_path" in row:
        clean = {key: value for key, value in row.items() if key.lstrip("_") != "name_or_path"}
        target.write_text(json.dumps(clean, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        shutil.copyfile(found, target)
