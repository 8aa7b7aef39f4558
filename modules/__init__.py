"""Modules: the stages as LightningModules, imitation (SFT), feedback (KTO), own experience (GRPO).

They say who calls what, and when; arithmetic is in the core. They know neither datamodules nor callbacks.
Strategies of our own are here, too, and the trainer knows them by name: `fsdp2`, `zero2`, `zero3`. To add a
stage, subclass `PolicyModule` in base.py.
"""

from lightning.pytorch.strategies import StrategyRegistry

from eva_lightning.modules.base import PolicyModule
from eva_lightning.modules.fsdp2 import FSDP2Strategy
from eva_lightning.modules.grpo import GRPOModule
from eva_lightning.modules.kto import KTOModule
from eva_lightning.modules.sft import SFTModule
from eva_lightning.modules.zero import ZeroStrategy

__all__ = ["FSDP2Strategy", "GRPOModule", "KTOModule", "PolicyModule", "SFTModule", "ZeroStrategy"]

StrategyRegistry.register("fsdp2", FSDP2Strategy)
StrategyRegistry.register("zero2", ZeroStrategy, stage=2)
StrategyRegistry.register("zero3", ZeroStrategy, stage=3)
StrategyRegistry.register(
    "zero3_offload", ZeroStrategy, stage=3, offload_optimizer=True, offload_parameters=True
)
