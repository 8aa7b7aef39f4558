"""One optimizer step over many micro-batches: a module whose weights move.

Optimisation is manual, so that an iteration may cut its trajectories into as many micro-batches as fit and
still be one step: losses are sums over *global* counts, so 1 x 4 = 4 x 1 = two ranks. Which loss, and how
often, is said in the stages; how optimizer and schedule are made, in `optimizing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

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
from eva_lightning.policy.logprobs import TokenLogprobs, token_logprobs
from eva_lightning.policy.packing import PackingConfig, pack
from eva_lightning.ranks import most, summed, together
from eva_lightning.records import Trajectory

LossOf = Callable[[MicroBatch, list[int]], tuple[Tensor, Tally]]
"""A micro-batch, and the place of each of its trajectories in the list, to its share of the loss and
measurements.
"""


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

    @property
    def policy(self) -> Policy:
        """The one that acts and learns, once its weights are read."""
        assert self._policy is not None
        return self._policy

    @property
    def world_size(self) -> int:
        return self.trainer.world_size

    def micro_batches(self, trajectories: Sequence[Trajectory]) -> Iterator[tuple[MicroBatch, list[int]]]:
        """Trajectories as the model reads them, with the place of each in the list.

        Frames are read as needed.
        """
        renderer = self.policy.renderer
        for rows in self.plan(trajectories):
            read = [[self._inputs(trajectories[place]) for place in row] for row in rows]
            yield lay_out(read, renderer.end_ids[0]).to(self.device), [place for row in rows for place in row]

    def _inputs(self, trajectory: Trajectory) -> TrajectoryInputs:
        return trajectory_inputs(trajectory, self.policy, self.pixels(trajectory))

    def logprobs(
        self, batch: MicroBatch, temperature: float = 1.0, policy: Policy | None = None
    ) -> TokenLogprobs:
        """What the policy (or another one) thinks of every written token."""
        banned = self.policy.renderer.banned_ids
        return token_logprobs(
            (policy or self.policy).model, batch, temperature=temperature, banned_ids=banned
        )

    def totals(self, trajectories: Sequence[Trajectory]) -> Totals:
        """What the losses of a step are divided by: the counts of all ranks."""
        mine = Totals.of(trajectory.ledger.written for trajectory in trajectories)
        tokens, sequences = summed(torch.tensor([mine.tokens, mine.sequences], device=self.device)).tolist()
        return Totals(tokens=tokens, sequences=sequences)

    def step(self, trajectories: Sequence[Trajectory], loss_of: LossOf) -> tuple[dict[str, float], Tally]:
        """One optimizer step on these trajectories.

        `loss_of` returns a micro-batch's share of the global loss.

        All ranks call it together. A rank with fewer micro-batches runs `idle` ones, so that every rank takes
        part in every exchange of gradients.
        """
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.zero_grad()
        total, tally = torch.zeros((), device=self.device), Tally()
        count = len(self.plan(trajectories))
        passes = most(count, self.device)
        for number, (batch, places) in enumerate(self.micro_batches(trajectories), start=1):
            loss, measured = loss_of(batch, places)
            # Data-parallel strategies take the mean over ranks, and the losses are to be added.
            self._backward(loss * self.world_size, exchange=number == passes)
            total, tally = total + loss.detach(), tally + measured
        for number in range(count + 1, passes + 1):
            self._backward(self._idle() * 0.0, exchange=number == passes)
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

    def plan(self, trajectories: Sequence[Trajectory]) -> list[list[list[int]]]:
        """Micro-batches of rows of places in the list."""
        return pack([trajectory.ledger.total for trajectory in trajectories], self.packing)

    def _idle(self) -> Tensor:
        """A forward pass that means nothing, for a rank that has nothing left to do."""
        ids = torch.tensor([*self.policy.renderer.end_ids[:1]] * 2, device=self.device)
        mask = torch.tensor([False, True], device=self.device)
        positions = torch.arange(2, device=self.device).expand(3, 2)
        one = TrajectoryInputs(ids=ids, loss_mask=mask, positions=positions)
        return self.logprobs(lay_out([[one]], int(ids[0]))).logprobs.sum()

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
