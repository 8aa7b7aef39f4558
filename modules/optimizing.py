"""Optimizing: how weights move, by AdamW, a warm-up, a decay. Settings and their construction; no loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from eva_lightning.modules.long_adamw import LongAdamW


@dataclass(kw_only=True)
class OptimizerConfig:
    """AdamW with a schedule counted in optimizer steps."""

    lr: float = 1e-6
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of the running means of the gradient and of its square."""
    weight_decay: float = 0.0
    """Decoupled weight decay of matrices; vectors have none."""
    warmup_steps: int = 0
    """Optimizer steps in which the rate rises from 0 to its peak."""
    decay: Literal["constant", "cosine", "linear"] = "cosine"
    """How the rate falls afterwards."""
    floor: float = 0.0
    """Where the decay ends, as a share of the peak."""
    total_steps: int | None = None
    """Optimizer steps until the floor is reached; None counts them from the trainer's limits."""
    max_grad_norm: float = 1.0
    """Longer gradients are shortened to this norm; 0 leaves them as they are."""
    sharded: bool = False
    """Each rank keeps the optimizer's state of its share of the weights only (ZeRO, stage 1): of 14 bytes for
    each trained bfloat16 weight, 10 are divided by the number of ranks. Saving gathers them on the first."""


class Schedule(LambdaLR):
    """One rate for all groups, which also remembers which of them decay.

    The optimizer can not be asked later: DeepSpeed makes one flat tensor of a group, or none at all.
    """

    def __init__(
        self, optimizer: Optimizer, config: OptimizerConfig, steps: int, decays: Sequence[bool]
    ) -> None:
        self.decays = list(decays)
        super().__init__(optimizer, lambda step: rate(config, step, steps))


def make_optimizer(
    config: OptimizerConfig,
    parameters: Iterable[nn.Parameter],
    total_steps: int,
    ranks: int = 1,
    keeps_float32: bool = False,
) -> tuple[Optimizer, Schedule]:
    """The optimizer of the trained parameters and its schedule. All `ranks` make theirs together.

    `keeps_float32` says that the strategy moves float32 copies of the weights, whatever their type.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    parts = {True: [p for p in trained if _decays(p)], False: [p for p in trained if not _decays(p)]}
    decays = [part for part, held in parts.items() if held]
    groups: list[dict[str, Any]] = [
        {"params": parts[part], "weight_decay": config.weight_decay if part else 0.0} for part in decays
    ]
    long = any(p.dtype == torch.bfloat16 for p in trained) and not keeps_float32
    kind = LongAdamW if long else AdamW
    optimizer: Optimizer
    if config.sharded and ranks > 1:
        # torch compiles scripts for it, and warns of that
        from eva_lightning.modules.shared_state import SharedState

        optimizer = SharedState(groups, kind, lr=config.lr, betas=config.betas)
    else:
        optimizer = kind(groups, lr=config.lr, betas=config.betas)
    return optimizer, Schedule(optimizer, config, config.total_steps or total_steps, decays)


def _decays(parameter: nn.Parameter) -> bool:
    """Whether it is a matrix; ZeRO-3 keeps elsewhere what shape it has when it is whole."""
    return len(getattr(parameter, "ds_shape", parameter.shape)) > 1


def obey(config: OptimizerConfig, schedule: LambdaLR) -> None:
    """Let a schedule and its optimizer follow this config, at the step where they are."""
    assert isinstance(schedule, Schedule)
    schedule.base_lrs = [config.lr for _ in schedule.base_lrs]
    groups = schedule.optimizer.param_groups
    for group, share, decays in zip(groups, schedule.lr_lambdas, schedule.decays, strict=True):
        decay = config.weight_decay if decays else 0.0
        now = config.lr * share(schedule.last_epoch)
        group |= {"lr": now, "initial_lr": config.lr, "betas": config.betas, "weight_decay": decay}
    schedule._last_lr = [group["lr"] for group in groups]


def rate(config: OptimizerConfig, step: int, total_steps: int) -> float:
    """The learning rate of an optimizer step (from 0) as a share of its peak.

    >>> half = OptimizerConfig(warmup_steps=2, decay="linear")
    >>> [rate(half, step, 6) for step in (0, 1, 2, 4, 6)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.decay == "constant":
        return 1.0
    gone = min(1.0, (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps))
    left = 1.0 - gone if config.decay == "linear" else (1.0 + math.cos(math.pi * gone)) / 2
    return config.floor + (1.0 - config.floor) * left
