"""The list of videos that a fit or a test leaves out, in its folder and at its end.

What is left out, and when, the world's frame store decides; tasks about such a video still come up, and each
attempt ends at once as a fault that is counted and not learned from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, Trainer

from eva_lightning.ranks import gathered
from eva_lightning.reports.quarantine_list import LISTED, keep, kept, told

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule


class QuarantineList(Callback):
    """Writes `<default_root_dir>/quarantine.jsonl`: a row a video that failed too often, and why.

    A fit that goes on from a checkpoint leaves them out from its begin; every other run tries them again. A
    video that was replaced is always tried again. How often is too often is `quarantine_after` of the world's
    FrameStore.
    """

    def setup(self, trainer: Trainer, pl_module: PolicyModule, stage: str) -> None:  # type: ignore[override]
        quarantine = pl_module.world.quarantine
        if quarantine is not None:
            keep(quarantine, _file(trainer))

    def on_fit_start(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        quarantine = pl_module.world.quarantine
        if quarantine is not None and trainer.ckpt_path:
            quarantine.take_up(kept(_file(trainer)))

    def on_fit_end(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        self._tell(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        self._tell(trainer, pl_module)

    def _tell(self, trainer: Trainer, module: PolicyModule) -> None:
        quarantine = module.world.quarantine
        mine = [] if quarantine is None else list(quarantine.left_out)
        rows = {row.path: row for row in gathered(mine)}
        if rows and trainer.is_global_zero:
            print(f"\n{told(list(rows.values()), _file(trainer))}")


def _file(trainer: Trainer) -> Path:
    return Path(trainer.default_root_dir) / LISTED
