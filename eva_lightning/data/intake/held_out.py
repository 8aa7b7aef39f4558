"""Which videos are kept from training: a share of them, chosen by the names of their files."""

from __future__ import annotations

from pathlib import Path

from eva_lightning.agent.rollout import derive_seed
from eva_lightning.records import Task


def is_held_out(task: Task, share: float) -> bool:
    """Whether one of its videos is among those kept from training. That follows from the name of the file
    alone: a video stays on its side when rows are added, or folders moved.
    """
    names = (Path(clip.path).name for clip in task.clips)
    return any(derive_seed("held out", name) / 2**63 < share for name in names)
