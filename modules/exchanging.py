"""Exchanges: how the gradients of all ranks become one step, for whole weights, for shards, for DeepSpeed.

Chosen by the strategy; which loss, and over how many passes, is said in `stepping`. Losses are sums that were
multiplied by the number of ranks, because every strategy takes the mean over them.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch.strategies import DeepSpeedStrategy, ModelParallelStrategy, ParallelStrategy, Strategy
from torch import Tensor, nn

from eva_lightning.faults import UsageError
from eva_lightning.modules.fsdp2 import gathered_in
from eva_lightning.modules.refusals import NO_OWN_WEIGHTS
from eva_lightning.policy.inputs import MicroBatch
from eva_lightning.policy.logprobs import Scorer


class Whole:
    """One process, or DDP: every rank has all weights; gradients are exchanged in the last pass of a step."""

    gathers = False
    """Whether weights are gathered in a pass, so that all ranks must make the same calls."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy: Any = strategy

    def caller(self, scorer: Scorer) -> nn.Module:
        """What is called to score with the policy that is trained."""
        return scorer

    def whole(self, scorer: Scorer, idle: MicroBatch) -> AbstractContextManager[None]:
        """All weights of the policy on every rank, for an engine that writes with them.

        `idle` is a micro-batch that any pass may read.
        """
        return nullcontext()

    def backward(self, loss: Tensor, total: Tensor, last: bool) -> None:
        """Add to the gradients.

        Args:
            loss: Of this pass.
            total: Of the whole step on all ranks, in its last pass; of this rank so far in the others.
            last: No rank has another pass in this step.
        """
        held = isinstance(self.strategy, ParallelStrategy) and not last
        with self.strategy.block_backward_sync() if held else nullcontext():
            self.strategy.backward(loss, None)

    def norm(self, trained: Iterable[nn.Parameter], limit: float) -> Tensor:
        """The length of the gradient, which is cut to the limit."""
        return torch.nn.utils.clip_grad_norm_(
            [weight for weight in trained if weight.grad is not None], limit
        )

    def move(
        self, optimizer: Any, trained: Iterable[nn.Parameter], total: Tensor, limit: float
    ) -> tuple[float, bool]:
        """Clip and step, unless loss or gradient is not finite: the gradient's length, and whether it did."""
        norm = self.norm(trained, limit)
        finite = bool(torch.isfinite(norm)) and bool(torch.isfinite(total))
        if finite:
            optimizer.step()
        return float(norm), finite


class Shards(Whole):
    """FSDP2: gradients are exchanged in every pass, and each rank keeps its shard of them."""

    gathers = True

    def whole(self, scorer: Scorer, idle: MicroBatch) -> AbstractContextManager[None]:
        with torch.no_grad():
            scorer(idle)  # its root must have been called once
        return gathered_in(scorer)

    def backward(self, loss: Tensor, total: Tensor, last: bool) -> None:
        self.strategy.backward(loss, None)

    def norm(self, trained: Iterable[nn.Parameter], limit: float) -> Tensor:
        norm: Any = super().norm(trained, limit)
        whole: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        return whole


class Engine(Whole):
    """DeepSpeed: its engine owns the gradients, clips them, and refuses what is not finite."""

    def __init__(self, strategy: Strategy) -> None:
        super().__init__(strategy)
        self.gathers = bool(self.strategy.zero_stage_3)

    def caller(self, scorer: Scorer) -> nn.Module:
        """The engine: under ZeRO-3 a pass that goes past it would overwrite the gradients of the one before.

        It calls the module, whose forward is the scorer's.
        """
        engine: nn.Module = self.strategy.model
        return engine if hasattr(engine, "set_gradient_accumulation_boundary") else scorer

    def whole(self, scorer: Scorer, idle: MicroBatch) -> AbstractContextManager[None]:
        if self.gathers:
            raise UsageError(NO_OWN_WEIGHTS)
        return nullcontext()

    def backward(self, loss: Tensor, total: Tensor, last: bool) -> None:
        """Unasked it takes every pass for the last, and ZeRO-2 overwrites the gradients of the one before."""
        self.strategy.deepspeed_engine.set_gradient_accumulation_boundary(last)
        if last and not bool(torch.isfinite(total)):
            loss = loss * torch.nan  # another rank's, or that of an earlier pass: let the engine see it
        self.strategy.backward(loss, None)

    def move(
        self, optimizer: Any, trained: Iterable[nn.Parameter], total: Tensor, limit: float
    ) -> tuple[float, bool]:
        """The limit is in the engine's config."""
        optimizer.step()
        engine = self.strategy.deepspeed_engine
        norm = engine.get_global_grad_norm()
        return torch.nan if norm is None else float(norm), bool(engine.was_step_applied())


def exchange_of(strategy: Strategy) -> Whole:
    """The exchange that belongs to a strategy."""
    if isinstance(strategy, ModelParallelStrategy):
        return Shards(strategy)
    return Engine(strategy) if isinstance(strategy, DeepSpeedStrategy) else Whole(strategy)
