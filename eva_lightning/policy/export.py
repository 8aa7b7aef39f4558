"""An export is a policy as a Hugging Face folder, for whoever knows nothing of us: vLLM, transformers, a hub.

It is what the next stage loads (`policy.path`). It holds no optimizer: to go on training, use a checkpoint.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from peft import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor
from transformers.utils import logging

from eva_lightning.files import atomic
from eva_lightning.files.full_disk import MAKE_ROOM, writing
from eva_lightning.policy.loading import Policy, PolicyConfig, file_of
from eva_lightning.policy.merged_weights import merged_weights, whole

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


def export(
    policy: Policy,
    config: PolicyConfig,
    folder: Path,
    *,
    adapter: bool = False,
    beside: Mapping[str, str] | None = None,
    remedy: str = MAKE_ROOM,
) -> None:
    """Write one folder, replacing what has its name. The live model is only read.

    `beside` are texts by file name that go with it; `remedy` is what to do where the disk is full.
    """
    with writing(folder, remedy), atomic.appearing(folder) as part:
        part.mkdir(parents=True)
        weights = gathered_weights(policy, adapter, keep=True)
        if adapter:
            _save_adapter(policy, config, weights, part)
        else:
            _save_quietly(policy, weights, part)
        for name in COMPANIONS:
            _copy(config, name, part / name)
        for name, text in (beside or {}).items():
            (part / name).write_text(text, encoding="utf-8")


def gathered_weights(policy: Policy, adapter: bool, *, keep: bool) -> dict[str, Tensor]:
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
    found = file_of(config.path, name, config.revision)
    if found is None:
        return
    row = json.loads(found.read_text(encoding="utf-8")) if name.endswith("_config.json") else {}
    if "name_or_path" in row or "_name_or_path" in row:
        clean = {key: value for key, value in row.items() if key.lstrip("_") != "name_or_path"}
        target.write_text(json.dumps(clean, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        shutil.copyfile(found, target)
