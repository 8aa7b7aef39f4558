"""KTO: learn from trajectories marked good or bad, one by one, held against the policy as it was.

The reference point z is measured on mismatched trajectories of the same step: a question with what was
written for another question. It is computed over the whole step and all ranks before any gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from eva_lightning.faults import UsageError
from eva_lightning.modules.base import PolicyModule
from eva_lightning.modules.reference import Reference
from eva_lightning.objectives.kto import (
    KTOSettings,
    MarkedData,
    balancing_weight,
    kto_loss,
    kto_means,
    log_ratio,
    mismatched,
    mismatched_partners,
    recommended_band,
    z_ref,
)
from eva_lightning.objectives.tally import Tally
from eva_lightning.objectives.totals import sequence_sums
from eva_lightning.policy.inputs import MicroBatch
from eva_lightning.policy.loading import Policy
from eva_lightning.policy.tokenized import tokenized
from eva_lightning.ranks import gathered, summed
from eva_lightning.records import Trajectory


class KTOModule(PolicyModule):
    """Kahneman-Tversky optimisation on marked trajectories. One batch is one optimizer step."""

    def __init__(self, objective: KTOSettings | None = None, **settings: Any) -> None:
        """
        Args:
            objective: Which loss, how steep, and how good and bad weigh; by default good ones weigh what
                balances the data.
            settings: What every stage has.
        """
        super().__init__(**settings)
        self.objective = objective or KTOSettings()
        self.settled_weight: float | None = None  # of good trajectories, where the settings leave it open

    def configure_model(self) -> None:
        super().configure_model()
        if self.reference is None:
            self.reference = Reference(self.policy)

    def on_train_start(self) -> None:
        """Settle the weight of good trajectories by the balance of the whole data set, once for a run.

        One that goes on keeps the weight it began with.
        """
        super().on_train_start()
        if self.objective.desirable_weight is not None:
            return
        data = getattr(self.trainer, "datamodule", None)
        if self.settled_weight is not None:
            told = "as this run began"
        elif isinstance(data, MarkedData):
            good, bad, other = data.n_desirable, data.n_undesirable, self.objective.undesirable_weight
            self.settled_weight = balancing_weight(good, bad, other)
            low, high = recommended_band(good, bad, other)
            told = f"for {good:g} good and {bad:g} bad trajectories (recommended: {low:.2f} to {high:.2f})"
        else:
            raise UsageError(
                "nobody tells how many trajectories are good and how many bad: set "
                "model.objective.desirable_weight, or take FeedbackData"
            )
        rank_zero_info(f"desirable_weight {self.settled_weight:.2f}, {told}")
        self.objective = replace(self.objective, desirable_weight=self.settled_weight)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["desirable_weight"] = self.settled_weight

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.settled_weight = checkpoint.get("desirable_weight")

    def training_step(self, batch: Sequence[Trajectory], batch_idx: int) -> None:
        self.phases = {}
        served = [tokenized(trajectory, self.policy.renderer) for trajectory in batch]
        unmarked = [trajectory.task.id for trajectory in served if trajectory.desirable is None]
        if unmarked:
            raise UsageError(
                f"the trajectory of task {unmarked[0]!r} is not marked good or bad: run eva label"
            )
        shares = gathered([served])
        feedback = self.dealt(shares)
        marks = [bool(one.desirable) for one in feedback]
        desirable = torch.tensor(marks, dtype=torch.bool, device=self.device)
        lengths = _written(feedback).to(self.device)
        totals = self.totals(feedback)
        assert self.reference is not None
        with self.phase("credit"):
            with self.reference.policy(self.device) as frozen:
                before = self._sequence_logprobs(feedback, frozen)
            z = self._reference_point(shares) if self.objective.loss == "kto" else None

        def loss_of(micro: MicroBatch, places: list[int]) -> tuple[Tensor, Tally]:
            now = sequence_sums(self.logprobs(micro).logprobs, micro.sequence, micro.count)
            return kto_loss(
                now,
                before[places],
                desirable[places],
                z=z,
                lengths=lengths[places],
                settings=self.objective,
                totals=totals,
            )

        with self.phase("update"):
            metrics, tally = self.step(feedback, loss_of)
        good = float(summed(desirable.sum().float()))
        self.finish(feedback, metrics | kto_means(tally) | self._balance(good, totals.sequences - good))

    def _reference_point(self, shares: Sequence[Sequence[Trajectory]]) -> Tensor:
        """z: how far the policy has moved on trajectories that do not belong to their question."""
        everyone = [one for share in shares for one in share]
        # Partners come from any rank, so z does not depend on ranks.
        partners = iter(mismatched_partners([one.task.id for one in everyone], seed=self.iteration))
        made = [
            [mismatched(one, everyone[partner]) for one in share if (partner := next(partners)) >= 0]
            for share in shares
        ]
        pairs = self.dealt(made)
        assert self.reference is not None
        with torch.no_grad():
            now = self._sequence_logprobs(pairs, self.policy)
        with self.reference.policy(self.device) as frozen:
            then = self._sequence_logprobs(pairs, frozen)
        ratios = log_ratio(now, then, _written(pairs).to(self.device), self.objective)
        measured = summed(torch.stack([ratios.sum(), ratios.new_tensor(float(len(pairs)))]))
        return z_ref(measured[0], measured[1])

    def _sequence_logprobs(self, trajectories: Sequence[Trajectory], policy: Policy) -> Tensor:
        """Summed log-probability of what each trajectory wrote."""
        sums = torch.zeros(len(trajectories), device=self.device)
        for micro, places, _ in self.passes(trajectories):
            logprobs = self.logprobs(micro, policy=policy).logprobs
            sums[places] = sequence_sums(logprobs, micro.sequence, micro.count)
        return sums

    def _balance(self, good: float, bad: float) -> dict[str, float]:
        """How the weights stand to the band that the paper recommends; 1 to 4/3 is inside."""
        if not good or not bad:
            return {}
        low, high = recommended_band(int(good), int(bad), self.objective.undesirable_weight)
        weight = self.objective.desirable_weight
        assert weight is not None
        return {
            "balance": weight / low,
            "balance_in_band": float(low <= weight <= high),
            "desirable_weight": weight,
        }


def _written(trajectories: Sequence[Trajectory]) -> Tensor:
    return torch.tensor([float(trajectory.ledger.written) for trajectory in trajectories])
