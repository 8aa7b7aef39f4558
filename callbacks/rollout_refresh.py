"""The refresh: hands the policy's weights to an engine that writes with a copy of them.

When, and how old they may get, is said here; how they travel is the engine's business.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, Trainer
from torch import Tensor

from eva_lightning.engines.base import RefreshedEngine
from eva_lightning.faults import UsageError
from eva_lightning.modules.contracts import Collecting
from eva_lightning.policy.merged_weights import is_sharded, merged_weights

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule


MOST_AHEAD = 4
"""Rollouts ahead; what more staleness does to learning was never measured."""


class RolloutRefresh(Callback):
    """Keeps the engine's weights fresh; does nothing for an engine that writes with the policy's own.

    They are handed over before the first use, before rollouts when the engine is `every` iterations behind,
    and always before an evaluation: it judges the policy as it is now. The seconds it takes are logged as
    `time/refresh`.

    With `overlap` the rollouts of the next iterations are made while this one is learned from: of one, or of
    as many as `max_staleness` permits, up to 4. Which tasks an iteration learns from does not depend on it.
    With one, nothing is under way when weights change. With more, weights are handed over while trajectories
    are written: a turn goes on with the new ones, so a trajectory may span several versions, and its oldest
    turn counts. The truncated importance weights of the objective correct for that, token by token. A run
    that is resumed makes anew what was under way, so it is as good as an unbroken one, but not the same to
    the last bit. Seconds the trainer waited for a rollout are `time/collect`, those it took are `time/ahead`;
    `staleness/mean`, `max` and `spanning` (the share of trajectories with turns of several versions) tell
    what was learned from.
    """

    def __init__(self, every: int = 1, max_staleness: int | None = None, overlap: bool = False) -> None:
        """
        Args:
            every: Hand over when the engine is so many iterations behind.
            max_staleness: How many iterations behind the weights may be that wrote what is learned from; if
                more, training stops. With `overlap` it says how many rollouts are made ahead, too. None is
                what `every` and `overlap` bring about (one rollout ahead), and no more.
            overlap: Make rollouts while training (GRPO only).
        """
        inevitable = every - 1 + int(overlap)
        if every < 1:
            raise UsageError(f"RolloutRefresh: every is {every}; want 1 or more")
        if max_staleness is not None and max_staleness < inevitable:
            raise UsageError(
                f"RolloutRefresh: max_staleness is {max_staleness}, but with every={every} and "
                f"overlap={str(overlap).lower()} trajectories are up to {inevitable} iterations old"
            )
        self.every = every
        self.max_staleness = inevitable if max_staleness is None else max_staleness
        self.batches_ahead = self.max_staleness - (every - 1) if overlap else 0
        if self.batches_ahead > MOST_AHEAD:
            raise UsageError(
                f"RolloutRefresh: max_staleness is {max_staleness}, so that with every={every} "
                f"{self.batches_ahead} rollouts would be made ahead; want {MOST_AHEAD} at most"
            )
        self._handed_over = False
        self._module: PolicyModule | None = None

    def setup(self, trainer: Trainer, pl_module: PolicyModule, stage: str) -> None:  # type: ignore[override]
        self._handed_over = False  # a new fit has a new engine
        self._module = pl_module
        pl_module.refreshed_by(self)

    def on_fit_start(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        if self.batches_ahead:
            _check_overlap(pl_module, self.batches_ahead)

    def on_exception(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, exception: BaseException
    ) -> None:
        pl_module.drop_ahead()

    def teardown(self, trainer: Trainer, pl_module: PolicyModule, stage: str) -> None:  # type: ignore[override]
        self._module = None  # it belongs to this trainer
        pl_module.refreshed_by(None)

    def refresh(self, *, newest: bool) -> None:
        """Called by the module, on all ranks, before anything is written."""
        module = self._module
        assert module is not None
        trainer, engine = module.trainer, module.engine
        assert isinstance(engine, RefreshedEngine)
        behind = module.iteration - engine.policy_version
        fresh = 0 <= behind < (1 if newest else self.every)
        due = not (self._handed_over and engine.holds_weights and fresh)
        together = trainer.world_size > 1 and (engine.shared or is_sharded(module.policy.model))
        if together:  # one rank may have noticed that a server lost its weights
            due = trainer.strategy.reduce_boolean_decision(due, all=False)
        if not due:
            return
        with module.phase("refresh"):
            if engine.shared and trainer.world_size > 1:
                _hand_over_together(trainer, module, engine)
            else:
                engine.take_weights(lambda: merged_weights(module.policy.backbone), module.iteration)
        self._handed_over = True

    def forget(self) -> None:
        """Called by the module, on all ranks, when other weights were read into the policy."""
        self._handed_over = False


def _hand_over_together(trainer: Trainer, module: PolicyModule, engine: RefreshedEngine) -> None:
    """Rank 0 hands over; the others bring their shards, as often as it goes through the weights."""
    strategy, backbone = trainer.strategy, module.policy.backbone
    one_at_a_time = threading.Lock()  # an engine of several servers may ask from several threads

    def weights() -> Iterator[tuple[str, Tensor]]:
        with one_at_a_time:
            strategy.broadcast(True)
            passing = merged_weights(backbone)
            try:
                for one in passing:  # noqa: UP028  `yield from` would end it with its listener
                    yield one
            finally:
                if is_sharded(backbone):
                    deque(passing, maxlen=0)  # to the end, whoever stops listening: the others go on

    with engine.on_hold():
        strategy.barrier("RolloutRefresh")  # nobody begins to write any more
        if trainer.is_global_zero:
            try:
                engine.take_weights(weights, module.iteration)
            finally:
                strategy.broadcast(False)
        else:
            while strategy.broadcast(False):  # what rank 0 says
                if is_sharded(backbone):
                    deque(merged_weights(backbone), maxlen=0)
            engine.policy_version = module.iteration


def _check_overlap(module: PolicyModule, batches_ahead: int) -> None:
    engine = module.engine
    if not isinstance(module, Collecting):
        raise UsageError(
            f"RolloutRefresh: overlap is on, but {type(module).__name__} makes no rollouts to learn from"
        )
    if not isinstance(engine, RefreshedEngine):
        raise UsageError(
            f"RolloutRefresh: overlap is on, but {type(engine).__name__} writes with the policy's own "
            "weights, and they can not write while they are being trained: take a vLLM engine"
        )
    if engine.sleeps:
        raise UsageError(
            "RolloutRefresh: overlap is on, but the engine sleeps while the policy is trained: set its "
            "sleep_level to 0"
        )
    if batches_ahead > 1 and not engine.refreshed_in_flight:
        raise UsageError(
            f"RolloutRefresh: overlap is on with {batches_ahead} rollouts ahead, but this "
            f"{type(engine).__name__} can not be handed weights while it writes (ranks that share a vLLM "
            "can not): set max_staleness to 1, tensor_parallel to 1, or take VLLMServerEngine"
        )
    if module.objective.importance_cap is None:
        raise UsageError(
            "RolloutRefresh: overlap is on, but objective.importance_cap is null: trajectories that older "
            "weights wrote want truncated importance weights; set it, for example to 2.0"
        )
