"""A guard against the collapse of a policy: it warns, stops the run, or takes it back to where it was sound.

It reads metrics; from where on one is a sign is in `collapse_signs`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch.optim.lr_scheduler import LambdaLR

from eva_lightning.callbacks.collapse_signs import CollapseSigns
from eva_lightning.callbacks.iteration_checkpoint import IterationCheckpoint
from eva_lightning.faults import UsageError
from eva_lightning.modules.optimizing import obey

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule

Action = Literal["warn", "stop", "rollback"]


class CollapseGuard(Callback):
    """Warns, stops, or rolls back when the agent ceases to look, to write what can be read, or to vary.

    A sign counts when it was there in `patience` iterations running, and is told once until it goes away.
    """

    def __init__(
        self,
        action: Action = "warn",
        signs: CollapseSigns | None = None,
        patience: int = 5,
        rollbacks: int = 2,
    ) -> None:
        """
        Args:
            action: `warn` says so and goes on. `stop` ends training after the iteration, with checkpoints as
                at any end. `rollback` reads weights and optimizer of the newest checkpoint from before the
                first bad iteration, and goes on with the next tasks and new dice; where there is no such
                checkpoint it stops.
            signs: From where on a metric is a sign.
            patience: Iterations in a row that a sign must last.
            rollbacks: How often to roll back before the run is stopped.
        """
        if patience < 1 or rollbacks < 1:
            raise UsageError(
                f"CollapseGuard: patience is {patience} and rollbacks is {rollbacks}; want 1 or more"
            )
        self.action = action
        self.signs = signs or CollapseSigns()
        self.patience = patience
        self.rollbacks = rollbacks
        self._entropies: list[float] = []
        self._lasting: dict[str, int] = {}
        self._spoilt: list[tuple[int, int]] = []
        """First and last iteration of each collapse that was rolled back: what was saved within is spoilt."""

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Rank 0 alone may have the metrics, but all must act together.
        told: list[str] = trainer.strategy.broadcast(self._told(trainer))
        if not told:
            return
        now, good = pl_module.iteration, None
        if self.action == "rollback" and len(self._spoilt) < self.rollbacks:
            good = self._last_good(trainer, now - self.patience + 1)
        ending = {"warn": "", "stop": "; stopping", "rollback": f"; {self._plan(good)}"}[self.action]
        for sign in told:
            rank_zero_warn(f"iteration {now}: {sign}, {self.patience} iterations running{ending}")
        if good is not None:
            self._roll_back(trainer, pl_module, good)
        elif self.action != "warn":
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"entropies": self._entropies, "lasting": dict(self._lasting), "spoilt": list(self._spoilt)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._entropies = list(state_dict["entropies"])
        self._lasting = dict(state_dict["lasting"])
        self._spoilt = [(first, last) for first, last in state_dict.get("spoilt", ())]

    def _told(self, trainer: Trainer) -> list[str]:
        """The signs that have lasted long enough with this iteration."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if "train/entropy" in metrics:
            self._entropies = [*self._entropies, metrics["train/entropy"]][-self.signs.window :]
        signs = self.signs.found(metrics, self._entropies)
        self._lasting = {name: self._lasting.get(name, 0) + 1 for name in signs}
        return [signs[name] for name, count in self._lasting.items() if count == self.patience]

    def _plan(self, good: int | None) -> str:
        if good is not None:
            return f"going back to the weights of iteration {good}"
        if len(self._spoilt) == self.rollbacks:
            return f"stopping, for it was rolled back {self.rollbacks} times already"
        return "stopping, for there is no checkpoint from before"

    def _last_good(self, trainer: Trainer, first_bad: int) -> int | None:
        """The iteration of the newest checkpoint that no collapse has touched."""
        saved = [
            number
            for keeper in _keepers(trainer)
            for number in keeper.saved(trainer)
            if number < first_bad and not any(first <= number < last for first, last in self._spoilt)
        ]
        good: int | None = trainer.strategy.broadcast(max(saved, default=None))
        return good

    def _roll_back(self, trainer: Trainer, module: PolicyModule, good: int) -> None:
        """Iteration, data and dice go on: the same tasks with the same dice would collapse again."""
        (keeper,) = _keepers(trainer)
        restore(trainer, module, keeper.path_of(trainer, good))
        self._spoilt.append((module.iteration - self.patience + 1, module.iteration))
        self._entropies, self._lasting = [], {}
        keeper.save(trainer, module.iteration)  # else a killed run would go on from the spoilt ones


def _keepers(trainer: Trainer) -> list[IterationCheckpoint]:
    return [one for one in trainer.checkpoint_callbacks if isinstance(one, IterationCheckpoint)]


def restore(trainer: Trainer, module: PolicyModule, file: Path) -> None:
    """Weights and optimizer of a checkpoint; the schedule of the learning rate stays where it is."""
    module.taken_back()
    checkpoint = trainer.strategy.load_checkpoint(file, weights_only=True)
    trainer.strategy.load_model_state_dict(checkpoint, strict=False)
    trainer.strategy.load_optimizer_state_dict(checkpoint)
    schedule = module.lr_schedulers()
    if isinstance(schedule, LambdaLR):
        obey(module.optimizer_config, schedule)
