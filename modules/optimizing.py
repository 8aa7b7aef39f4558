"""Optimizing: how weights move, by AdamW, a warm-up, a decay. Settings and their construction; no loop."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

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


def make_optimizer(
    config: OptimizerConfig, parameters: Iterable[nn.Parameter], total_steps: int, ranks: int = 1
) -> tuple[Optimizer, LambdaLR]:
    """The optimizer of the trained parameters and its schedule. All `ranks` make theirs together."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    kind = LongAdamW if any(p.dtype == torch.bfloat16 for p in trained) else AdamW
    optimizer: Optimizer
    if config.sharded and ranks > 1:
        # torch compiles scripts for it, and warns of that
        from eva_lightning.modules.shared_state import SharedState

        optimizer = SharedState(groups, kind, lr=config.lr, betas=config.betas)
    else:
        optimizer = kind(groups, lr=config.lr, betas=config.betas)
    steps = config.total_steps or total_steps
    return optimizer, LambdaLR(optimizer, lambda step: rate(config, step, steps))


def obey(config: OptimizerConfig, schedule: LambdaLR) -> None:
    """Let a schedule and its optimizer follow this config, at the step where they are."""
    schedule.base_lrs = [config.lr for _ in schedule.base_lrs]
    for group, share in zip(schedule.optimizer.param_groups, schedule.lr_lambdas, strict=True):
        decay = config.weight_decay if group["params"][0].ndim > 1 else 0.0
        now = config.lr * share(schedule.last_epoch)
        group |= {"lr": now, "initial_lr": config.lr, "betas": config.betas, "weight_decay": decay}
    schedule._last_lr = [group["lr"] for group in schedule.optimizer.param_groups]


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
