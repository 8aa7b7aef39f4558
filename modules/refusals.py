"""Settings that run without a word and train wrongly: refused before anything is read."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import HalfPrecision
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from peft.tuners.lora import LoraLayer
from torch import nn

from eva_lightning.faults import UsageError
from eva_lightning.modules.fsdp2 import FSDP2Strategy
from eva_lightning.modules.optimizing import OptimizerConfig
from eva_lightning.modules.zero import ZeroStrategy
from eva_lightning.policy.attention import BY_TRAJECTORY
from eva_lightning.policy.merged_weights import is_sharded

NO_OWN_WEIGHTS = (
    "trainer.strategy zero3: no rank has the weights that the transformers engine would write with; take a "
    "vLLM engine, or trainer.strategy fsdp2"
)


def refuse_unsound(trainer: Trainer) -> None:
    """UsageError says what is wrong, and what to take instead."""
    if isinstance(trainer.precision_plugin, HalfPrecision):
        half = trainer.precision_plugin.precision
        raise UsageError(
            f"trainer.precision {half} would round the rotary frequencies, so that late tokens stand in the "
            "wrong place, and all our sums: leave it out; model.policy.dtype is the type of the weights"
        )
    strategy = trainer.strategy
    if isinstance(strategy, DeepSpeedStrategy) and not isinstance(strategy, ZeroStrategy):
        raise UsageError(
            "trainer.strategy deepspeed takes every forward pass for a whole step: gradients of all but the "
            "last would be lost; take zero2 or zero3"
        )
    if isinstance(strategy, FSDPStrategy):
        raise UsageError(
            "trainer.strategy fsdp flattens the weights: no export and no engine can read them; take fsdp2"
        )
    if isinstance(strategy, ModelParallelStrategy) and not isinstance(strategy, FSDP2Strategy):
        raise UsageError(
            "ModelParallelStrategy shards nothing by itself, and each rank would train alone; take fsdp2"
        )
    if isinstance(strategy, ZeroStrategy) and strategy.zero_stage_3 and trainer.state.fn != "fit":
        raise UsageError(
            "trainer.strategy zero3: DeepSpeed can read a checkpoint only to go on training; evaluate the "
            "export with trainer.strategy ddp or fsdp2"
        )


def refuse_two_ways_to_share(trainer: Trainer, optimizer: OptimizerConfig) -> None:
    """The optimizer's state is shared out once."""
    if optimizer.sharded and isinstance(trainer.strategy, FSDP2Strategy | ZeroStrategy):
        raise UsageError(
            "model.optimizer.sharded is for ddp; this trainer.strategy shares out the optimizer's state by "
            "itself: set it to false"
        )


def refuse_adapted_head(trainer: Trainer, backbone: nn.Module) -> None:
    """An adapter around the head is called once for each chunk, and ranks have different numbers of them."""
    strategy = trainer.strategy
    if (
        isinstance(strategy, ZeroStrategy)
        and strategy.zero_stage_3
        and isinstance(backbone.lm_head, LoraLayer)
    ):
        raise UsageError(
            "trainer.strategy zero3 can not gather an adapter on lm_head: take it out of "
            "model.policy.lora.targets, or take fsdp2"
        )


def refuse_adapter_that_stays_whole(trainer: Trainer, model: nn.Module) -> None:
    """Switching an adapter off and on marks the weights it finds: whole ones or shards, not the others."""
    strategy = trainer.strategy
    whole = isinstance(strategy, FSDP2Strategy) and not strategy.reshard_after_forward
    if whole and hasattr(model, "disable_adapter"):
        raise UsageError(
            "FSDP2Strategy: reshard_after_forward false does not go with an adapter (model.policy.lora); "
            "leave it true"
        )


def refuse_unshareable_rows(ranks: int, model: Any) -> None:
    """In attention each rank has whole heads, and our own kernel exchanges them."""
    if ranks == 1:
        return
    text = model.config.get_text_config()
    heads, keys = text.num_attention_heads, text.num_key_value_heads
    if heads % ranks or max(keys, ranks) % min(keys, ranks):
        fitting = [n for n in range(1, heads + 1) if not heads % n and not max(keys, n) % min(keys, n)]
        raise UsageError(
            f"model.packing.sequence_ranks {ranks} can not share {heads} attention heads with {keys} keys: "
            f"this policy takes {', '.join(map(str, fitting))}"
        )
    if model.config._attn_implementation != BY_TRAJECTORY:
        raise UsageError(
            f"model.packing.sequence_ranks {ranks} wants model.policy.attention by_trajectory, not "
            f"{model.config._attn_implementation}"
        )


def refuse_copy_of_shards(model: nn.Module) -> None:
    """A frozen copy of full weights is made while they are whole."""
    if is_sharded(model):
        raise UsageError(
            "a reference with full weights can not be copied from shards: set read_into_shards to false, "
            "train an adapter (model.policy.lora), or take fsdp2"
        )
