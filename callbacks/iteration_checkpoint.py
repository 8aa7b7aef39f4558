"""Checkpoints counted in iterations, written between iterations only, whole or not at all.

Lightning's own callback counts optimizer steps, which under manual optimisation fires on common multiples at
best. This one inherits from it for a single reason: the trainer asks only `ModelCheckpoint`s where
`--ckpt_path last` is. Every hook of the parent is replaced. What goes into a checkpoint is decided by the
module.
"""

from __future__ import annotations

import math
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from eva_lightning.faults import UsageError
from eva_lightning.files import atomic
from eva_lightning.files.full_disk import writing
from eva_lightning.files.lock import sole_writer

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule


class IterationCheckpoint(ModelCheckpoint):
    """Writes a checkpoint every few iterations, at the end and when a run is told to stop.

    `--ckpt_path last` goes on from the newest one, `--ckpt_path best` reads the best one. A folder belongs to
    one run: a new run refuses to start over the checkpoints of another, and one that another process is
    still writing is refused before the policy is loaded.
    """

    def __init__(
        self,
        every: int = 10,
        keep: int | None = 2,
        folder: str | None = None,
        save_last: bool = True,
        on_exception: bool = True,
        save_best: str | None = None,
        mode: Literal["max", "min"] = "max",
    ) -> None:
        """
        Args:
            every: Iterations between two checkpoints.
            keep: How many of them to keep, newest first; None keeps all. The best one is kept besides.
            folder: Where to write; None is `checkpoints` in the trainer's default_root_dir. It has no version
                number in it, so that `--ckpt_path last` finds what an earlier process wrote.
            save_last: Write one at the end of fit, and let `last.ckpt` lead to the newest.
            on_exception: Write one if the run is stopped (SIGTERM, an error, Ctrl-C) between two iterations,
                or in one before its first optimizer step: it is begun again then. After that step the weights
                belong to no iteration: nothing is written.
            save_best: Name of a validation metric, for example `eval/accuracy`: `best.ckpt` leads to the
                checkpoint of its best value. None keeps no best one.
            mode: Whether the best value is the largest (max) or the smallest (min).
        """
        if every < 1 or (keep is not None and keep < 1):
            raise UsageError(f"IterationCheckpoint: every is {every} and keep is {keep}; want 1 or more")
        super().__init__(dirpath=folder, monitor=save_best, mode=mode, save_top_k=0, save_last=save_last)
        self.every = every
        self.keep = keep
        self.given_folder = folder
        self.saves_on_exception = on_exception
        self.latest: int | None = None  # iteration of the newest checkpoint
        self.best_score: float | None = None
        self._busy = False  # in the middle of an iteration
        self._validation_due = False  # one follows this iteration, and is not over
        self._began: int | None = None  # iteration at which this fit began; None before it has
        self._held = ExitStack()  # the lock of the run's folder

    @property
    def state_key(self) -> str:
        return type(self).__qualname__  # not the parent's, which depends on arguments that may change

    def folder(self, trainer: Trainer) -> Path:
        given = self.given_folder or Path(trainer.default_root_dir) / "checkpoints"
        return Path(given).expanduser().absolute()

    def saved(self, trainer: Trainer) -> list[int]:
        """The iterations whose checkpoints are there."""
        return _numbered(self.folder(trainer))

    def path_of(self, trainer: Trainer, iteration: int) -> Path:
        return self.folder(trainer) / f"iteration-{iteration:06d}.ckpt"

    def save(self, trainer: Trainer, iteration: int) -> None:
        """Write a checkpoint of this iteration, in place of one that may be there. All ranks together."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if self._busy:  # another callback asks, at the end of an iteration
            self._validation_due = _validation_follows(trainer)
        self.latest = iteration  # before it is written: it is part of what is written
        self._write(trainer, self.path_of(trainer, iteration).name, "last.ckpt" if self.save_last else None)
        if trainer.is_global_zero and self.keep is not None:
            done = sorted(number for number in self.saved(trainer) if number <= iteration)
            for number in done[: -self.keep]:
                atomic.remove(self.path_of(trainer, number))

    def _validated(self, trainer: Trainer) -> Path:
        """The file that says of which checkpoint's iteration the validation is over."""
        return self.folder(trainer) / ".validated"

    def _was_validated(self, trainer: Trainer) -> bool:
        """Whether the run was stopped behind the validation of its checkpoint, not before or within."""
        file = self._validated(trainer)
        return file.is_file() and file.read_text().strip() == str(self.latest)

    # --- when ---------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        folder = self.folder(trainer)
        self.dirpath = str(folder)
        self.last_model_path = str(folder / "last.ckpt")
        self.best_model_path = str(folder / ("best.ckpt" if self.monitor else "last.ckpt"))
        if stage == "fit" and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._hold(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        folder = self.folder(trainer)
        found = trainer.strategy.broadcast(_numbered(folder))
        fresh = trainer.ckpt_path is None and self.latest is None
        if fresh and found and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            raise UsageError(
                f"{folder} holds iteration {max(found)} of another run: go on from it with --ckpt_path last, "
                "or give this run another trainer.default_root_dir"
            )
        if trainer.is_global_zero and folder.is_dir():
            atomic.sweep(folder)
        trainer.strategy.barrier("IterationCheckpoint.on_train_start")
        self._began = pl_module.iteration
        if trainer.strategy.broadcast(self._validation_due and not self._was_validated(trainer)):
            _validate(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._busy = True

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._busy = False
        self._validation_due = _validation_follows(trainer)
        # Training that ends within an epoch counts it as done: a checkpoint written any later would skip the
        # rest of it when training is made longer. At its end there is time, and a last validation to come.
        ending = pl_module.is_last_iteration() and not trainer.is_last_batch
        due = pl_module.iteration % self.every == 0 or (self.save_last and ending)
        if due and pl_module.iteration != self.latest:
            self.save(trainer, pl_module.iteration)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing: epochs do not matter here."""

    def on_validation_end(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._validation_due = False
        if trainer.is_global_zero and pl_module.iteration == self.latest:  # its checkpoint says it is due
            with writing(self._validated(trainer)):
                self._validated(trainer).write_text(f"{self.latest}\n")
        if self.monitor is None:
            return
        value = trainer.strategy.broadcast(self._monitored(trainer))  # rank 0 alone may have logged it
        if value is None:
            raise UsageError(f"save_best is {self.monitor!r}, but validation logged no such metric")
        if math.isnan(value) or (self.best_score is not None and not self._better(value, self.best_score)):
            return
        self.best_score = value
        self._save_best(trainer, pl_module.iteration)

    def on_train_end(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        if self.save_last and pl_module.iteration != self.latest and pl_module.iteration != self._began:
            self.save(trainer, pl_module.iteration)
        self._began = None

    def on_exception(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, exception: BaseException
    ) -> None:
        with self._held:  # what is written now is still ours to write
            self._save_what_is_done(trainer, pl_module, exception)

    def _save_what_is_done(self, trainer: Trainer, pl_module: PolicyModule, exception: BaseException) -> None:
        began, self._began = self._began, None
        if began is None or pl_module.iteration in (began, self.latest):
            return
        newest = "none" if self.latest is None else f"iteration {self.latest}"
        # else ranks wait elsewhere
        alone = trainer.world_size == 1 or isinstance(exception, SIGTERMException)
        done = pl_module.iteration
        where = f"inside iteration {done + 1}" if self._busy else f"after iteration {done}"
        torn = self._busy and pl_module.weights_moved
        if self.saves_on_exception and alone and not torn:
            rank_zero_info(
                f"stopped {where}: writing a checkpoint of iteration {done}; go on with --ckpt_path last"
            )
            self.save(trainer, done)
        else:
            rank_zero_warn(f"stopped {where}; the newest checkpoint: {newest}")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._busy, self._began = False, None
        self._held.close()

    # --- what ---------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"latest": self.latest, "best_score": self.best_score, "validation_due": self._validation_due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.latest, self.best_score = state_dict.get("latest"), state_dict.get("best_score")
        self._validation_due = state_dict.get("validation_due", False)

    def _hold(self, trainer: Trainer) -> None:
        """Be the only fit of this folder, or refuse on all ranks: none may wait for one that has left."""
        refusal = None
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir).expanduser().absolute()
            try:
                remedy = "end it, or give another trainer.default_root_dir"
                self._held.enter_context(sole_writer(folder / "fit", remedy))
            except UsageError as problem:
                refusal = str(problem)
        if refusal := trainer.strategy.broadcast(refusal):
            raise UsageError(refusal)

    def _monitored(self, trainer: Trainer) -> float | None:
        value = trainer.callback_metrics.get(self.monitor or "")
        return None if value is None else float(value)

    def _better(self, value: float, than: float) -> bool:
        return value > than if self.mode == "max" else value < than

    def _save_best(self, trainer: Trainer, iteration: int) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        name = f"best-{iteration:06d}.ckpt"
        self._write(trainer, name, "best.ckpt")
        if trainer.is_global_zero:
            for path in self.folder(trainer).glob("best-*.ckpt"):
                if path.name != name:
                    atomic.remove(path)

    def _write(self, trainer: Trainer, name: str, link: str | None) -> None:
        """All ranks together. Sharded strategies write a folder; it is renamed just like a file."""
        path = self.folder(trainer) / name
        with writing(path, "make room, and go on with --ckpt_path last"):
            try:
                trainer.save_checkpoint(atomic.part_of(path), weights_only=False)
                if trainer.is_global_zero:
                    atomic.place(path)
                    if link:
                        atomic.point(path.with_name(link), path)
            except BaseException:
                if trainer.is_global_zero:
                    atomic.discard(atomic.part_of(path))  # it takes room that there is none of
                raise
        trainer.strategy.barrier("IterationCheckpoint")

    def _find_last_checkpoints(self, trainer: Trainer) -> set[str]:
        """What `--ckpt_path last` means; the trainer asks before any other hook runs."""
        folder = self.folder(trainer)
        atomic.restore(folder)
        link, numbers = folder / "last.ckpt", _numbered(folder)
        if link.exists():
            return {str(link.parent / link.readlink() if link.is_symlink() else link)}
        return {str(folder / f"iteration-{max(numbers):06d}.ckpt")} if numbers else set()


def _numbered(folder: Path) -> list[int]:
    """The iterations whose checkpoints are in a folder."""
    names = [re.fullmatch(r"iteration-(\d+)\.ckpt", path.name) for path in folder.glob("iteration-*.ckpt")]
    return [int(found.group(1)) for found in names if found]


def _validation_follows(trainer: Trainer) -> bool:
    """Whether the trainer validates after this iteration."""
    fetcher = trainer.fit_loop._data_fetcher
    return fetcher is not None and trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)


def _validate(trainer: Trainer) -> None:
    """The validation that followed the iteration of the checkpoint: Lightning goes on behind it."""
    loop = trainer.fit_loop.epoch_loop.val_loop
    loop.restarting = False
    trainer.validating = True
    loop.run()
    trainer.training = True
