"""The export: the trained policy as a Hugging Face folder with its model card, and on a hub if wished.

What a folder holds is written by `policy.export`; when, and where it goes, is said here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from peft import PeftModel

from eva_lightning.faults import UsageError
from eva_lightning.files import atomic
from eva_lightning.modules.telling import log_folder, stage_of
from eva_lightning.policy.export import export, gathered_weights
from eva_lightning.policy.merged_weights import is_sharded
from eva_lightning.reports.hub import Upload, refuse_no_upload, upload
from eva_lightning.reports.lineage import Lineage, evaluated, lineage_of
from eva_lightning.reports.model_card import beside

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule
    from eva_lightning.policy.loading import PolicyConfig


class HuggingFaceExport(Callback):
    """Writes the policy as a Hugging Face folder at the end of fit, and on the way if wished.

    The end goes to `final`, the rest to `iteration-000040` and so on. A folder appears whole or not at all.
    Its README.md is a model card: where the policy comes from, on what it was trained, how to use it.
    """

    def __init__(
        self,
        folder: str | None = None,
        at_end: bool = True,
        every: int | None = None,
        adapter: bool = False,
        push_to: str | None = None,
        public: bool = False,
        license: str | None = None,
    ) -> None:
        """
        Args:
            folder: Where these folders go; None is `export` in the trainer's default_root_dir.
            at_end: Export at the end of fit.
            every: Iterations between two exports on the way; None makes none.
            adapter: Write the adapter alone, in PEFT's layout. False merges it into a copy of the weights.
            push_to: OWNER/NAME on the model hub (HF_ENDPOINT) that gets each export as a commit; it is made
                if it is not there. None pushes nothing.
            public: Make that repository for all to see; one that is there stays as it is.
            license: Licence of the policy as the hub spells it (apache-2.0); None is that of the base model,
                where its card names one.
        """
        if every is not None and every < 1:
            raise UsageError(f"HuggingFaceExport: every is {every}; want 1 or more, or null")
        self.folder = folder
        self.at_end = at_end
        self.every = every
        self.adapter = adapter
        self.upload = None if push_to is None else Upload(repo=push_to, public=public)
        self.license = license
        self.lineage = Lineage()

    def on_train_start(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        if self.adapter and not isinstance(pl_module.policy.model, PeftModel):
            raise UsageError("HuggingFaceExport: adapter is true, but the policy has none; set policy.lora")
        refusal = None
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            refusal = _refused(lambda: self._prepare(self._folder(trainer), pl_module.policy_config))
        _refuse_together(trainer, refusal)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if self.every and pl_module.iteration % self.every == 0:
            self._export(trainer, pl_module, f"iteration-{pl_module.iteration:06d}", ends=False)

    def on_train_end(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        if self.at_end:
            self._export(trainer, pl_module, "final", ends=True)

    def _folder(self, trainer: Trainer) -> Path:
        return Path(self.folder or Path(trainer.default_root_dir) / "export").expanduser().absolute()

    def _prepare(self, folder: Path, config: PolicyConfig) -> None:
        """UsageError for what can be refused before there is anything to export."""
        if self.upload is not None:
            refuse_no_upload(self.upload)
        self.lineage = lineage_of(config.path, config.revision, self.license)
        if folder.is_dir():
            atomic.sweep(folder)

    def _export(self, trainer: Trainer, module: PolicyModule, name: str, *, ends: bool) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = self._folder(trainer) / name
        told, refusal = self._told(trainer, module, path), None
        if trainer.is_global_zero:
            remedy = "make room, and go on with --ckpt_path last"
            export(
                module.policy, module.policy_config, path, adapter=self.adapter, beside=told, remedy=remedy
            )
            rank_zero_info(f"the policy after iteration {module.iteration} is in {path}")
            refusal = _refused(lambda: self._push(path, f"after iteration {module.iteration}"))
        elif is_sharded(module.policy.model):
            gathered_weights(module.policy, self.adapter, keep=False)  # its shards are needed
        if refusal and not ends:  # a hub that is out of reach ends no training
            rank_zero_warn(refusal)
            refusal = None
        _refuse_together(trainer, refusal)

    def _told(self, trainer: Trainer, module: PolicyModule, path: Path) -> dict[str, str]:
        """The files that tell of it."""
        log = log_folder(trainer)
        trainer.strategy.barrier("HuggingFaceExport")  # every rank has written its part of an evaluation
        if not trainer.is_global_zero:
            return {}
        lineage = self.lineage.after(evaluated(stage_of(module), log))
        name = path.name if self.upload is None else self.upload.repo
        sees = module.policy.images is not None
        return beside(lineage, name=name, sees=sees, adapter=self.adapter)

    def _push(self, path: Path, message: str) -> None:
        if self.upload is not None:
            rank_zero_info(f"pushed to {upload(path, self.upload, message)}")


def _refused(act: Callable[[], None]) -> str | None:
    """Why it was refused; None if it was done."""
    try:
        act()
    except UsageError as problem:
        return str(problem)
    return None


def _refuse_together(trainer: Trainer, refusal: str | None) -> None:
    """What the first rank refuses, all of them do: none may wait for one that has left."""
    if refusal := trainer.strategy.broadcast(refusal):
        raise UsageError(refusal)
