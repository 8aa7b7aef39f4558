"""Modules: the stages as LightningModules, imitation (SFT), feedback (KTO), own experience (GRPO).

They say who calls what, and when; arithmetic is in the core. They know neither datamodules nor callbacks.
To add a stage, subclass `PolicyModule` in base.py.
"""

from eva_lightning.modules.base import PolicyModule
from eva_lightning.modules.grpo import GRPOModule
from eva_lightning.modules.kto import KTOModule
from eva_lightning.modules.sft import SFTModule

__all__ = ["GRPOModule", "KTOModule", "PolicyModule", "SFTModule"]
