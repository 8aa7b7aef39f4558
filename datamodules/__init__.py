"""What is trained on and evaluated on, as LightningDataModules: demonstrations (SFT), feedback (KTO), tasks
(GRPO)."""

from datamodules.base import RecordData
from datamodules.benchmarks import BenchmarkData
from datamodules.demonstrations import DemonstrationData
from datamodules.feedback import FeedbackData
from datamodules.record_loader import RecordLoader
from datamodules.sources import Source
from datamodules.tasks import TaskData

__all__ = [
    "BenchmarkData",
    "DemonstrationData",
    "FeedbackData",
    "RecordData",
    "RecordLoader",
    "Source",
    "TaskData",
]
