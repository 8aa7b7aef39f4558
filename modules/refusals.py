"""Settings that run without a word and train wrongly: refused before anything is read."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import HalfPrecision
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import nn

from eva_lightning.faults import UsageError
from eva_lightning.policy.merged_weights import is_sharded

INSTEAD = "take ddp; model.optimizer.sharded shares out the optimizer's state among the ranks"


def refuse_unsound(trainer: Trainer) -> None:
    """UsageError says what is wrong, and what to take instead."""
    if isinstance(trainer.precision_plugin, HalfPrecision):
        half = trainer.precision_plugin.precision
        raise UsageError(
            f"trainer.precision {half} would round the rotary frequencies, so that late tokens stand in the "
            "wrong place, and all our sums: leave it out; model.policy.dtype is the type of the weights"
        )
    if isinstance(trainer.strategy, DeepSpeedStrategy):
        raise UsageError(
            "trainer.strategy deepspeed keeps the gradients to itself: they would be neither clipped nor "
            f"refused where they are not finite; {INSTEAD}"
        )
    if isinstance(trainer.strategy, FSDPStrategy):
        raise UsageError(
            f"trainer.strategy fsdp flattens the weights: no export and no engine can read them; {INSTEAD}"
        )


def refuse_whole_weights(trainer: Trainer, model: nn.Module) -> None:
    """Where ranks are meant to hold shards, but nobody made any, each would train alone."""
    if isinstance(trainer.strategy, ModelParallelStrategy) and not is_sharded(model):
        raise UsageError(
            "ModelParallelStrategy shards nothing by itself: call fully_shard in the configure_model of a "
            f"subclass, or {INSTEAD}"
        )
