"""Signs that a policy is falling apart, seen while it can still be stopped. It reads metrics, no more."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from eva_lightning.faults import UsageError

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule


_SLACK = 1e-6
"""Metrics are float32: 0.8 comes back as 0.80000001."""


class CollapseGuard(Callback):
    """Warns, or stops training, when the agent ceases to look, to write well-formed turns, to vary or differ.

    It reads `train/looked` (share of trajectories that saw a frame), `train/well_formed`, `train/entropy` and
    `train/zero_variance_share` (share of groups in which all rewards are equal); one that is not logged is
    not watched. A sign counts when it was there in `patience` iterations running, and is told once until it
    goes away.
    """

    def __init__(
        self,
        action: Literal["warn", "stop"] = "warn",
        looked: float = 0.2,
        well_formed: float = 0.5,
        entropy_fall: float = 0.5,
        window: int = 20,
        zero_variance_share: float = 0.8,
        patience: int = 5,
    ) -> None:
        """
        Args:
            action: Warn only, or also stop training after the iteration; checkpoints are then written as at
                any end.
            looked: The least share of trajectories that look at least once; 0 does not watch it.
            well_formed: The least share of trajectories whose turns are all well-formed; 0 does not watch it.
            entropy_fall: The largest share of its entropy that the policy may lose within `window`; 1 does
                not watch.
            window: Iterations over which the fall of the entropy is measured.
            zero_variance_share: The largest share of groups whose rewards are all equal; 1 does not watch it.
            patience: Iterations in a row that a sign must last.
        """
        if patience < 1 or window < 1:
            raise UsageError(f"CollapseGuard: patience is {patience} and window is {window}; want 1 or more")
        self.action = action
        self.looked = looked
        self.well_formed = well_formed
        self.entropy_fall = entropy_fall
        self.zero_variance_share = zero_variance_share
        self.patience = patience
        self._entropies: deque[float] = deque(maxlen=window)
        self._lasting: dict[str, int] = {}

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        signs = self._signs({name: float(value) for name, value in trainer.callback_metrics.items()})
        self._lasting = {name: self._lasting.get(name, 0) + 1 for name in signs}
        told = [signs[name] for name, count in self._lasting.items() if count == self.patience]
        for sign in told:
            ending = "; stopping" if self.action == "stop" else ""
            rank_zero_warn(
                f"iteration {pl_module.iteration}: {sign}, {self.patience} iterations running{ending}"
            )
        if self.action == "stop":  # rank 0 alone may have the metrics, but all must stop together
            stop = trainer.strategy.reduce_boolean_decision(bool(told), all=False)
            trainer.should_stop = trainer.should_stop or stop

    def state_dict(self) -> dict[str, Any]:
        return {"entropies": list(self._entropies), "lasting": dict(self._lasting)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._entropies.extend(state_dict["entropies"])
        self._lasting = dict(state_dict["lasting"])

    def _signs(self, metrics: dict[str, float]) -> dict[str, str]:
        """What is wrong now, by name."""
        signs = {}
        looked, formed = metrics.get("train/looked", 1.0), metrics.get("train/well_formed", 1.0)
        if looked < self.looked - _SLACK:
            signs["looked"] = f"only {looked:.0%} of trajectories look at the video (floor {self.looked:.0%})"
        if formed < self.well_formed - _SLACK:
            signs["well_formed"] = (
                f"only {formed:.0%} of trajectories are well-formed (floor {self.well_formed:.0%})"
            )
        flat = metrics.get("train/zero_variance_share", 0.0)
        if flat > self.zero_variance_share + _SLACK:
            signs["zero_variance_share"] = (
                f"in {flat:.0%} of groups all rewards are equal: nothing is learned from them"
            )
        return signs | self._entropy_sign(metrics.get("train/entropy"))

    def _entropy_sign(self, entropy: float | None) -> dict[str, str]:
        if entropy is None:
            return {}
        self._entropies.append(entropy)
        highest = max(self._entropies)
        if self.entropy_fall >= 1 or entropy >= highest * (1 - self.entropy_fall):
            return {}
        return {"entropy": f"entropy fell from {highest:.3g} to {entropy:.3g}"}
