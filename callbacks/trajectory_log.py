"""The log of trajectories: tables and pictures in the run's loggers, every record in JSONL.

It shows what the agent really does, where people look.

JSONL holds all trajectories of a logged iteration, one file each, so that it can be read, compared and
replayed; loggers that can show pictures show a few of them (`galleries`). Nothing is measured here; metrics
are logged by the module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image

from eva_lightning.callbacks.galleries import GALLERIES, Exhibit, Gallery, gallery_of
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files import store
from eva_lightning.modules.telling import log_folder
from eva_lightning.records import Trajectory
from eva_lightning.reports.contact_sheet import contact_sheet
from eva_lightning.reports.trajectory_tables import tables

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule


class TrajectoryLog(Callback):
    """Shows trajectories in TensorBoard, wandb or MLflow and keeps them as JSONL in the log folder.

    Training goes to `trajectories/iteration-000010.jsonl`, evaluations to `evaluations/validate-000010.jsonl`
    (or `test-...`); the iteration is in the name, a row is a plain Trajectory. Every rank writes what it made
    itself: rank 1 adds `.rank1` to the name. Loggers show rank 0's; one that can show no picture, or none,
    leaves JSONL alone.
    """

    def __init__(
        self,
        every: int = 10,
        count: int = 4,
        frames: bool = True,
        jsonl: bool = True,
        evaluations: bool = True,
        galleries: list[Gallery] | None = None,
    ) -> None:
        """
        Args:
            every: Iterations between two logs of training trajectories. Evaluations are logged each time.
            count: How many trajectories loggers show, spread evenly from the lowest reward to the highest; 0
                shows none.
            frames: Add a picture of the frames each of them saw, with their times. The frames are read again.
            jsonl: Write all trajectories to files.
            evaluations: Log validation and test, too.
            galleries: More ways to show them, by kind of logger; asked before those for TensorBoard, wandb
                and MLflow, which every run has.
        """
        if every < 1 or count < 0:
            raise UsageError(f"TrajectoryLog: every is {every} and count is {count}; want at least 1 and 0")
        self.every = every
        self.count = count
        self.frames = frames
        self.jsonl = jsonl
        self.evaluations = evaluations
        self.galleries = (*(galleries or ()), *GALLERIES)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if pl_module.iteration % self.every == 0:
            name = f"trajectories/iteration-{pl_module.iteration:06d}"
            self._log(trainer, pl_module, pl_module.rollouts, name, "trajectories")

    def on_validation_end(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        if not trainer.sanity_checking:
            self._log_evaluation(trainer, pl_module, "validate")

    def on_test_end(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        self._log_evaluation(trainer, pl_module, "test")

    def _log_evaluation(self, trainer: Trainer, module: PolicyModule, stage: str) -> None:
        if self.evaluations:
            name = f"evaluations/{stage}-{module.iteration:06d}"
            self._log(trainer, module, module.evaluated, name, f"evaluations-{stage}")

    def _log(
        self, trainer: Trainer, module: PolicyModule, made: Sequence[Trajectory], name: str, tag: str
    ) -> None:
        folder = log_folder(trainer)
        if self.jsonl and made and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            rank = f".rank{trainer.global_rank}" if trainer.global_rank else ""
            store.write(folder / f"{name}{rank}.jsonl", made)  # whole: a repeated iteration replaces its file
        if not trainer.is_global_zero:
            return
        hung = [(logger, gallery_of(logger, self.galleries)) for logger in trainer.loggers]
        if any(gallery for _, gallery in hung):  # frames are read again: only for somebody to see
            for place, trajectory in enumerate(from_low_to_high(made, self.count), start=1):
                exhibit = self._exhibit(module, trajectory, f"{tag}/{place}")
                for logger, gallery in hung:
                    if gallery is not None:
                        gallery.show(logger, exhibit)

    def _exhibit(self, module: PolicyModule, trajectory: Trajectory, tag: str) -> Exhibit:
        picture: Image.Image | None = None
        notes: tuple[tuple[str, str], ...] = ()
        if self.frames:
            try:
                picture = contact_sheet(trajectory, module.pixels(trajectory))
            except Fault as fault:  # a video that is gone must not end a training run; it is told instead
                rank_zero_warn(f"{tag}: the frames can not be read again: {fault}")
                notes = (("frames", f"can not be read again: {fault}"),)
        return Exhibit(tag=tag, step=module.iteration, tables=tables(trajectory, notes), picture=picture)


def from_low_to_high(made: Sequence[Trajectory], count: int) -> list[Trajectory]:
    """`count` of them, evenly spaced between the lowest and the highest reward; equals in their own order."""
    if count >= len(made):
        return list(made)
    ranked = sorted(made, key=lambda trajectory: trajectory.reward)
    if count == 1:
        return ranked[-1:]
    return [ranked[round(i * (len(ranked) - 1) / (count - 1))] for i in range(count)]
