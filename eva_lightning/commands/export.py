"""`eva export CHECKPOINT`: the policy of a checkpoint as a Hugging Face folder with its card, and on a hub.

Reads what any strategy wrote, on one machine without its ranks; trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from peft import PeftModel

from eva_lightning.commands.arguments import run_command
from eva_lightning.faults import UsageError
from eva_lightning.files.encoding import FieldError, decode
from eva_lightning.policy.checkpoint_weights import Kept, read_checkpoint, restore
from eva_lightning.policy.export import export as write_export
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.reports.comparison import version_of
from eva_lightning.reports.hub import Upload, refuse_no_upload, upload
from eva_lightning.reports.lineage import Stage, evaluated, lineage_of
from eva_lightning.reports.model_card import beside


def main(words: Sequence[str]) -> None:
    run_command(export, words, "eva export", positional=True)


def export(
    checkpoint: str,
    out: str | None = None,
    push: str | None = None,
    public: bool = False,
    adapter: bool = False,
    base: str | None = None,
    evaluation: str | None = None,
    license: str | None = None,
) -> None:
    """Write the policy of a checkpoint as a Hugging Face folder with a model card.

    As in: eva export runs/sft/checkpoints/last.ckpt --out FOLDER. transformers, vLLM, `eva ask` and the next
    stage (policy.path) load such a folder, whichever strategy wrote the checkpoint: one file, FSDP2's folder
    or DeepSpeed's.

    Args:
        checkpoint: What a run wrote: a file, or the folder of a sharded strategy.
        out: Folder to write; one of that name is replaced. It appears whole or not at all.
        push: OWNER/NAME on the model hub (HF_ENDPOINT, HF_TOKEN) that gets it as a commit; it is made if it
            is not there.
        public: Make that repository for all to see; one that is there stays as it is.
        adapter: Write the adapter alone, in PEFT's layout. Without it an adapter is merged into the weights.
        base: What the run began with, a folder or a name on the hub, where that has moved; None is what the
            checkpoint says.
        evaluation: An evaluated run for the card, as `eva compare` takes it; None is the evaluation beside
            the checkpoint, if there is one after its iteration.
        license: Licence of the policy as the hub spells it (apache-2.0); None is that of the base model,
            where its card names one.
    """
    if out is None:
        raise UsageError("say where it goes: --out FOLDER")
    where = None if push is None else Upload(repo=push, public=public)
    if where is not None:
        refuse_no_upload(where)
    file = Path(checkpoint).expanduser()
    folder = Path(out).expanduser().absolute()
    _refuse_the_wrong_place(file, folder)
    kept = read_checkpoint(file)
    config, stage = _told(kept, file)
    config = config if base is None else replace(config, path=base)
    stage = evaluated(stage, Path(evaluation or file.absolute().parent.parent), named=evaluation is not None)
    policy = load_policy(config)
    if adapter and not isinstance(policy.model, PeftModel):
        raise UsageError(f"{checkpoint}: holds no adapter, but whole weights; leave out --adapter")
    restore(policy, kept, checkpoint)
    lineage = lineage_of(config.path, config.revision, license).after(stage)
    name = push or folder.name
    texts = beside(lineage, name=name, sees=policy.images is not None, adapter=adapter)
    write_export(policy, config, folder, adapter=adapter, beside=texts)
    print(f"the policy after iteration {stage.iterations} is in {folder}")
    if where is not None:
        print(f"pushed to {upload(folder, where, f'after iteration {stage.iterations}')}")


def _refuse_the_wrong_place(file: Path, folder: Path) -> None:
    """UsageError where the export would take the place of what is read, or of what is none."""
    if folder.is_file() or folder == file.resolve() or folder in file.resolve().parents:
        raise UsageError(f"--out {folder} would take the place of what is read; name another folder")
    strange = folder.is_dir() and any(folder.iterdir())
    if strange and not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise UsageError(f"--out {folder}: holds other things than an export; name another folder")


def _told(kept: Kept, file: Path) -> tuple[PolicyConfig, Stage]:
    """What was trained, and how: as the checkpoint tells it, or, in an older one, the config of its run."""
    told = kept.rest.get("told")
    try:
        if told is not None:
            return decode(PolicyConfig, told["policy"]), decode(Stage, told["stage"])
        model = _config_beside(file)["model"]
        plain = {name: value for name, value in model["init_args"]["policy"].items() if value is not None}
        name = model["class_path"].rpartition(".")[2].removesuffix("Module")
        return decode(PolicyConfig, plain), Stage(name=name, iterations=int(kept.rest["iteration"]))
    except (KeyError, TypeError, AttributeError, FieldError) as problem:
        raise UsageError(f"{file}: does not say which policy it belongs to ({problem})") from None


def _config_beside(file: Path) -> Mapping[str, Any]:
    """The config of the run, in its folder or in the newest of its logs."""
    root = file.absolute().parent.parent
    logs = sorted(root.glob("*/version_*/config.yaml"), key=lambda one: version_of(one.parent.name))
    for found in (root / "config.yaml", *reversed(logs)):
        if found.is_file():
            config: Mapping[str, Any] = yaml.safe_load(found.read_text(encoding="utf-8"))
            return config
    raise UsageError(
        f"{file}: was written by an earlier eva_lightning and does not say which policy it belongs to; its "
        f"run's config.yaml would, but there is none in {root}"
    )
