"""One optimizer step over many micro-batches: a module whose weights move.

Optimisation is manual, so that an iteration may cut its trajectories into as many micro-batches as fit and
still be one step: losses are sums over *global* counts, so 1 x 4 = 4 x 1 = two ranks. Which loss, and how
often, is said in the stages; how optimizer and schedule are made, in `optimizing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.faults import Fault
from eva_lightning.modules.acting import ActingModule
from eva_lightning.modules.exchanging import Whole, exchange_of
from eva_lightning.modules.optimizing import OptimizerConfig
from eva_lightning.modules.reference import Reference
from eva_lightning.objectives.tally import Tally
from eva_lightning.objectives.totals import Totals
from eva_lightning.policy.dealing import Prices, deal
from eva_lightning.policy.inputs import MicroBatch, TrajectoryInputs, lay_out, trajectory_inputs
from eva_lightning.policy.loading import Policy
from eva_lightning.policy.logprobs import Scorer, TokenLogprobs
from eva_lightning.policy.merged_weights import is_sharded
from eva_lightning.policy.packing import PackingConfig, pack
from eva_lightning.policy.row_hand_round import handed_round, neighbours, shares_of
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
    reference: Reference | None = None
    """The policy as it was, where a stage needs it."""
    skipped_in_a_row: int = 0
    weights_moved: bool = False
    """Since the last iteration that is over; a checkpoint of it is late then."""

    _policy: Policy | None = None
    _scorers: dict[nn.Module, Scorer]
    _seen: SeenFrames | None = None
    _exchange: Whole | None = None
    _row_ranks: Any = None
    """The ranks that share our rows, a process group; None where each reads its own alone."""

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
        for number, places in enumerate(plan + [[]] * (count - len(plan)), start=1):
            read = [self._inputs(trajectories[place]) for place in places]
            mine = lay_out(read) if read else _idle(self.policy.renderer.end_ids[0])
            if self._row_ranks is None:
                yield Pass(mine.to(self.device), places, last=number == count)
                continue
            for share in shares_of(self._row_ranks):
                batch = handed_round(mine, share).to(self.device)
                last = number == count and share.owner == share.ranks - 1
                yield Pass(batch, places if share.owned else [], last)

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

    @property
    def exchange(self) -> Whole:
        """How ranks make one step, which the trainer's strategy decides."""
        assert self._exchange is not None
        return self._exchange

    def join(self) -> None:
        """Become part of the trainer: before the weights are read."""
        self._exchange = exchange_of(self.trainer.strategy)
        for scorer in self._scorers.values():
            scorer.always_look = self._exchange.gathers
        learns = self.trainer.state.fn == "fit"  # answers to questions are no rows
        self._row_ranks = neighbours(self.packing.sequence_ranks if learns else 1)

    def scorer(self, policy: Policy | None = None) -> Scorer:
        """Policy (or another one) and head as one module, the same one every time."""
        model = (policy or self.policy).model
        if model not in self._scorers:
            gathers = self._exchange is not None and self._exchange.gathers
            self._scorers[model] = Scorer(model, always_look=gathers)
        return self._scorers[model]

    def scorers(self) -> list[Scorer]:
        """Of all policies that are in memory: the one that learns, and a frozen copy if there is one."""
        copies = [] if self.reference is None else self.reference.copies
        return [self.scorer(policy) for policy in (self.policy, *copies)]

    def forward(self, *batch: Any, **how: Any) -> tuple[Tensor, ...]:
        """One scoring pass of the policy, for a strategy that wraps this module."""
        found: tuple[Tensor, ...] = self.scorer()(*batch, **how)
        return found

    def logprobs(
        self,
        batch: MicroBatch,
        temperature: float = 1.0,
        policy: Policy | None = None,
        entropy: bool = False,
    ) -> TokenLogprobs:
        """What the policy (or another one) thinks of every written token."""
        banned = self.policy.renderer.banned_ids
        scorer = self.scorer(policy)
        own = self._exchange is not None and scorer.model is self.model
        caller = self.exchange.caller(scorer) if own else scorer
        found = caller(batch, temperature=temperature, banned_ids=banned, entropy=entropy)
        return TokenLogprobs(logprobs=found[0], entropy=found[1] if entropy else None)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """The engine, ready to write. One that writes with the policy's own weights finds them whole."""
        own = isinstance(self.engine, TransformersEngine) and self.engine.policy is self.policy
        with self._whole_weights() if own else nullcontext(), super().awake():
            yield

    def _whole_weights(self) -> AbstractContextManager[None]:
        scorer, exchange = self.scorer(), self.exchange
        idle = _idle(self.policy.renderer.end_ids[0]).to(self.device)
        return exchange.whole(scorer, idle)

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
            total, tally = total + loss.detach(), tally + measured
            if last:
                total = summed(total)
            # Strategies take the mean over ranks, and the losses are to be added.
            self.exchange.backward(loss * self.world_size, total, last)
        moved = self._move(optimizer, total)
        optimizer.zero_grad()  # whoever writes next can have their memory
        return moved, together(tally)

    def dealt(self, shares: Sequence[Sequence[Trajectory]]) -> list[Trajectory]:
        """This rank's hand of what all ranks hold, so that all have about equally much to do in a step.

        `shares` are what each rank holds now; every rank passes the same.
        """
        if len(shares) == 1 or not self.packing.deal:
            return list(shares[self.global_rank])
        everyone = [one for share in shares for one in share]
        homes = [rank for rank, share in enumerate(shares) for _ in share]
        prices = Prices.of(self.policy, seen_once=self._tower() is not None)
        hands = deal([prices.burden(one) for one in everyone], homes, len(shares))
        return [everyone[place] for place in hands[self.global_rank]]

    def plan(self, trajectories: Sequence[Trajectory]) -> list[list[int]]:
        """Micro-batches of places in the list."""
        lengths = [trajectory.ledger.total for trajectory in trajectories]
        return pack(lengths, self.packing.budget(self.device))

    def _move(self, optimizer: Any, loss: Tensor) -> dict[str, float]:
        """Clip and step, unless loss or gradient is not finite: then the weights stay as they are."""
        limit = self.optimizer_config.max_grad_norm or float("inf")
        lr = optimizer.param_groups[0]["lr"]
        moved, self.weights_moved = self.weights_moved, True  # whoever stops it half-way finds them torn
        norm, finite = self.exchange.move(optimizer, self.model.parameters(), loss, limit)
        if finite:
            schedule = self.lr_schedulers()
            assert schedule is not None and not isinstance(schedule, list)
            schedule.step()
            self.skipped_in_a_row = 0
        else:
            self.weights_moved = moved
            self._refuse(float(loss), norm)
        return {"loss": float(loss), "grad_norm": norm, "lr": lr, "skipped": float(not finite)}

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
