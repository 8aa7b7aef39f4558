"""Progress: one bar on a terminal, one line now and then in a log file. It shows; it logs nothing."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule

SHOWN = ("loss", "reward", "accuracy", "frames")
"""Metrics of training that are shown, in this order, as far as they are logged."""


class AgentProgressBar(TQDMProgressBar):
    """One bar for the whole of fit, counted in iterations, and one for each evaluation.

    Where the output is no terminal (a log file, a cluster) it prints a line every few iterations instead.
    """

    def __init__(self, every: int = 10) -> None:
        """
        Args:
            every: Iterations between two lines where the output is no terminal; 0 prints none.
        """
        super().__init__()
        self.every = every
        self._since = (0, 0.0)  # iteration and time of the last line

    @property
    def is_enabled(self) -> bool:
        return super().is_enabled and sys.stdout.isatty()

    @property
    def validation_description(self) -> str:
        return "Evaluating"

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """The few that one watches, without their prefixes, to three digits."""
        found = {name: trainer.callback_metrics.get(f"train/{name}") for name in SHOWN}
        found["eval"] = trainer.callback_metrics.get("eval/accuracy")
        return {name: f"{float(value):.3g}" for name, value in found.items() if value is not None}

    def on_train_start(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        self.train_progress_bar = self.init_train_tqdm()
        self.train_progress_bar.set_description("Iteration")
        self.train_progress_bar.initial = pl_module.iteration  # so that a resumed run tells its own speed
        self.train_progress_bar.total = total_iterations(trainer, pl_module)
        self._show(pl_module)
        self._since = (pl_module.iteration, time.monotonic())

    def on_train_epoch_start(self, *_: Any) -> None:
        """Nothing: the bar goes through all epochs."""

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.is_enabled:
            self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module), refresh=False)
            self._show(pl_module)
        elif self.every and (pl_module.iteration % self.every == 0 or pl_module.iteration == 1):
            self._print_iteration(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing: see on_train_epoch_start."""

    def on_validation_end(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        super().on_validation_end(trainer, pl_module)
        if not trainer.sanity_checking:
            self._print_evaluation(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        super().on_test_end(trainer, pl_module)
        self._print_evaluation(trainer, pl_module)

    def init_train_tqdm(self) -> Tqdm:
        bar = super().init_train_tqdm()
        bar.smoothing = 0.1  # iterations get longer as the agent learns to look
        return bar

    def _show(self, module: PolicyModule) -> None:
        if not self.train_progress_bar.disable:
            self.train_progress_bar.n = module.iteration
            self.train_progress_bar.refresh()

    def _print_iteration(self, trainer: Trainer, module: PolicyModule) -> None:
        total = total_iterations(trainer, module)
        before, then = self._since
        self._since = (module.iteration, time.monotonic())
        each = (self._since[1] - then) / max(module.iteration - before, 1)
        of = f"/{total}" if total else ""
        self._say(
            trainer, f"iteration {module.iteration}{of}", trainer.callback_metrics, f"{each:.3g} s each"
        )

    def _print_evaluation(self, trainer: Trainer, module: PolicyModule) -> None:
        if self.every and not self.is_enabled:
            found = {name: value for name, value in trainer.callback_metrics.items() if name.count("/") == 1}
            names = {
                f"train/{name.removeprefix('eval/')}": v for name, v in found.items() if name[:5] == "eval/"
            }
            self._say(trainer, f"evaluation after iteration {module.iteration}", names, "")

    def _say(self, trainer: Trainer, what: str, metrics: dict[str, Any], end: str) -> None:
        if not trainer.is_global_zero or not super().is_enabled:
            return
        shown = [
            f"{name} {float(metrics[f'train/{name}']):.4g}" for name in SHOWN if f"train/{name}" in metrics
        ]
        print("  ".join([what, *shown, end]).rstrip(), flush=True)


def total_iterations(trainer: Trainer, module: PolicyModule) -> int | None:
    """How many iterations fit will have made at its end; None if nothing but the user ends it."""
    limits = []
    if (
        trainer.max_epochs is not None
        and trainer.max_epochs >= 0
        and math.isfinite(trainer.num_training_batches)
    ):
        limits.append(int(trainer.max_epochs * trainer.num_training_batches))
    if trainer.max_steps >= 0:
        limits.append(math.ceil(trainer.max_steps / module.steps_per_iteration()))
    return min(limits, default=None)
