"""The stages as LightningModules: imitation (SFT), feedback (KTO), own experience (GRPO)."""

from modules.base import PolicyModule
from modules.grpo import GRPOModule
from modules.kto import KTOModule
from modules.sft import SFTModule

__all__ = ["GRPOModule", "KTOModule", "PolicyModule", "SFTModule"]
