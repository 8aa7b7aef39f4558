"""The stages as LightningModules: imitation (SFT), feedback (KTO), own experience (GRPO)."""

from eva_lightning.modules.base import PolicyModule
from eva_lightning.modules.grpo import GRPOModule
from eva_lightning.modules.kto import KTOModule
from eva_lightning.modules.sft import SFTModule

__all__ = ["GRPOModule", "KTOModule", "PolicyModule", "SFTModule"]
