"""One optimizer step over many micro-batches: a module whose weights move.

Optimisation is manual, so that an iteration may cut its trajectories into as many micro-batches as fit and
still be one step: losses are sums over *global* counts, so 1 x 4 = 4 x 1 = two ranks. Which loss, and how
often, is said in the stages; how optimizer and schedule are made, in `optimizing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from eva_lightning.faults import Fault
from eva_lightning.modules.acting import ActingModule
from eva_lightning.modules.optimizing import OptimizerConfig
from eva_lightning.objectives.tally import Tally
from eva_lightning.objectives.totals import Totals
from eva_lightning.policy.inputs import MicroBatch, TrajectoryInputs, lay_out, trajectory_inputs
from eva_lightning.policy.loading import Policy
from eva_lightning.policy.logprobs import Scorer, TokenLogprobs
from eva_lightning.policy.merged_weights import is_sharded
from eva_lightning.policy.packing import PackingConfig, pack
from eva_lightning.policy.seen_frames import SeenFrames, is_frozen
from eva_lightning.ranks import most, summed, together
from eva_lightning.records import Trajectory

LossOf = Callable[[MicroBatch, list[int]], tuple[Tensor, Tally]]
"""A micro-batch, and the place of each of its trajectories in the list, to its share of the loss and
measurements. One in which nothing is written, with no place, has a loss of 0 that can be taken backward.
"""


class Pass(NamedTuple):
    """One forward pass."""

    batch: MicroBatch
    """What the model reads."""
    places: list[int]
    """Where each of its trajectories stands in the list; empty if it is an idle one."""
    last: bool
    """No rank has another one."""


class SteppingModule(ActingModule):
    """A policy that learns; what it learns from is decided above. `base` sets what is declared here."""

    model: nn.Module
    """What is trained of the policy: registered here, as the policy itself is no nn.Module."""
    optimizer_config: OptimizerConfig
    packing: PackingConfig
    skipped_in_a_row: int = 0
    weights_moved: bool = False
    """Since the last iteration that is over; a checkpoint of it is late then."""

    _policy: Policy | None = None
    _scorers: dict[nn.Module, Scorer]
    _seen: SeenFrames | None = None

    @property
    def policy(self) -> Policy:
        """The one that acts and learns, once its weights are read."""
        assert self._policy is not None
        return self._policy

    @property
    def world_size(self) -> int:
        return self.trainer.world_size

    def passes(self, trajectories: Sequence[Trajectory]) -> Iterator[Pass]:
        """Trajectories as the model reads them, in equally many forward passes on every rank.

        All ranks go through theirs together: weights and gradients may be exchanged in each. A rank that has
        fewer micro-batches gets idle ones. Frames are read as needed.
        """
        plan = self.plan(trajectories)
        count = most(len(plan), self.device)  # before the first: in a pass the others may wait for this rank
        for number, places in enumerate(plan, start=1):
            read = [self._inputs(trajectories[place]) for place in places]
            yield Pass(lay_out(read).to(self.device), places, last=number == count)
        for number in range(len(plan) + 1, count + 1):
            yield Pass(_idle(self.policy.renderer.end_ids[0]).to(self.device), [], last=number == count)

    def _inputs(self, trajectory: Trajectory) -> TrajectoryInputs:
        return trajectory_inputs(trajectory, self.policy, self.pixels(trajectory), self._tower())

    def _tower(self) -> SeenFrames | None:
        """Who has seen frames before, if they look the same forever; None sees them in each pass."""
        frozen = is_frozen(self.policy.family.tower(self.policy.backbone))
        if not frozen or not self.packing.frames_gib or is_sharded(self.model):
            return None
        if self._seen is None:
            self._seen = SeenFrames(self.policy, int(self.packing.frames_gib * 2**30))
        return self._seen

    def scorer(self, policy: Policy | None = None) -> Scorer:
        """Policy (or another one) and head as one module, the same one every time."""
        model = (policy or self.policy).model
        if model not in self._scorers:
            self._scorers[model] = Scorer(model)
        return self._scorers[model]

    def logprobs(
        self,
        batch: MicroBatch,
        temperature: float = 1.0,
        policy: Policy | None = None,
        entropy: bool = False,
    ) -> TokenLogprobs:
        """What the policy (or another one) thinks of every written token."""
        banned = self.policy.renderer.banned_ids
        found = self.scorer(policy)(batch, temperature=temperature, banned_ids=banned, entropy=entropy)
        return TokenLogprobs(logprobs=found[0], entropy=found[1] if entropy else None)

    def totals(self, trajectories: Sequence[Trajectory]) -> Totals:
        """What the losses of a step are divided by: the counts of all ranks."""
        mine = Totals.of(trajectory.ledger.written for trajectory in trajectories)
        tokens, sequences = summed(torch.tensor([mine.tokens, mine.sequences], device=self.device)).tolist()
        return Totals(tokens=tokens, sequences=sequences)

    def step(self, trajectories: Sequence[Trajectory], loss_of: LossOf) -> tuple[dict[str, float], Tally]:
        """One optimizer step on these trajectories.

        `loss_of` returns a micro-batch's share of the global loss.

        All ranks call it together.
        """
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.zero_grad()
        total, tally = torch.zeros((), device=self.device), Tally()
        for batch, places, last in self.passes(trajectories):
            loss, measured = loss_of(batch, places)
            # Data-parallel strategies take the mean over ranks, and the losses are to be added.
            self._backward(loss * self.world_size, exchange=last)
            total, tally = total + loss.detach(), tally + measured
        moved = self._move(optimizer, summed(total))
        optimizer.zero_grad()  # whoever writes next can have their memory
        return moved, together(tally)

    def _backward(self, loss: Tensor, exchange: bool) -> None:
        """Add to the gradients; ranks exchange theirs once a step, in the last pass."""
        strategy = self.trainer.strategy
        if isinstance(strategy, ParallelStrategy) and not exchange:
            with strategy.block_backward_sync():
                self.manual_backward(loss)
        else:
            self.manual_backward(loss)

    def plan(self, trajectories: Sequence[Trajectory]) -> list[list[int]]:
        """Micro-batches of places in the list."""
        lengths = [trajectory.ledger.total for trajectory in trajectories]
        return pack(lengths, self.packing.budget(self.device))

    def _move(self, optimizer: Any, loss: Tensor) -> dict[str, float]:
        """Clip and step, unless loss or gradient is not finite: then the weights stay as they are."""
        limit = self.optimizer_config.max_grad_norm or float("inf")
        trained = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(trained, limit)
        finite = bool(torch.isfinite(norm)) and bool(torch.isfinite(loss))
        lr = optimizer.param_groups[0]["lr"]
        if finite:
            self.weights_moved = True
            optimizer.step()
            schedule = self.lr_schedulers()
            assert schedule is not None and not isinstance(schedule, list)
            schedule.step()
            self.skipped_in_a_row = 0
        else:
            self._refuse(float(loss), float(norm))
        return {"loss": float(loss), "grad_norm": float(norm), "lr": lr, "skipped": float(not finite)}

    def _refuse(self, loss: float, norm: float) -> None:
        self.skipped_in_a_row += 1
        said = (
            f"iteration {self.iteration + 1}: loss {loss:g}, gradient norm {norm:g}; "
            "the weights were left alone"
        )
        if self.skipped_in_a_row >= 3:
            raise Fault(f"{said}, for the third time in a row: lower the learning rate or look at the data")
        rank_zero_warn(said)


def _idle(pad: int) -> MicroBatch:
    """A micro-batch in which nothing is written, for a rank that has nothing left to do."""
    nobody = TrajectoryInputs(
        ids=torch.tensor([pad, pad]),
        loss_mask=torch.tensor([False, False]),
        positions=torch.arange(2).expand(3, 2),
    )
    return replace(lay_out([nobody]), count=0)
