"""Families of models: what is particular to a kind of model stands here, a file each, and nowhere else.

How a conversation is spelled comes from the checkpoint's chat template, who shares a forward pass from the
engine and the packing, what is learned from the objectives: none of them knows which family it serves. May
use what lies below it in the policy's room (attention, pixels, positions). To add one: docs/add-a-family.md.
"""

from eva_lightning.policy.families.base import Family, Seen
from eva_lightning.policy.families.known import FAMILIES, backbone, family_at, family_named, family_of

__all__ = ["FAMILIES", "Family", "Seen", "backbone", "family_at", "family_named", "family_of"]
