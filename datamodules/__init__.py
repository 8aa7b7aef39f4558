"""Datamodules: what is trained on and evaluated on, demonstrations (SFT), feedback (KTO), tasks (GRPO).

They serve records and know no model; a loader goes on in the middle of an epoch. To add one, subclass
`RecordData` in base.py.
"""

from eva_lightning.datamodules.base import RecordData
from eva_lightning.datamodules.benchmarks import BenchmarkData
from eva_lightning.datamodules.demonstrations import DemonstrationData
from eva_lightning.datamodules.feedback import FeedbackData
from eva_lightning.datamodules.record_loader import RecordLoader
from eva_lightning.datamodules.sources import Source
from eva_lightning.datamodules.tasks import TaskData

__all__ = [
    "BenchmarkData",
    "DemonstrationData",
    "FeedbackData",
    "RecordData",
    "RecordLoader",
    "Source",
    "TaskData",
]
