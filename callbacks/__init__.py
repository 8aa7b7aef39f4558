"""Callbacks: what happens around the iterations of a module. They watch, write, tell and hand over weights.

None of them trains. Importing this package is enough for a config to name them bare (`class_path:
TrajectoryLog`). To add one, subclass Lightning's `Callback`; what it asks of the module, it asks by a
method.
"""

from eva_lightning.callbacks.asked_to_end import AskedToEnd
from eva_lightning.callbacks.benchmark_evaluation import BenchmarkEvaluation
from eva_lightning.callbacks.collapse_guard import CollapseGuard
from eva_lightning.callbacks.export import HuggingFaceExport
from eva_lightning.callbacks.failure_mining import FailureMining
from eva_lightning.callbacks.galleries import Gallery, MLflowGallery, TensorBoardGallery, WandbGallery
from eva_lightning.callbacks.iteration_checkpoint import IterationCheckpoint
from eva_lightning.callbacks.progress import AgentProgressBar
from eva_lightning.callbacks.quarantine_list import QuarantineList
from eva_lightning.callbacks.rollout_refresh import RolloutRefresh
from eva_lightning.callbacks.throughput import Throughput
from eva_lightning.callbacks.trajectory_log import TrajectoryLog

__all__ = [
    "AgentProgressBar",
    "AskedToEnd",
    "BenchmarkEvaluation",
    "CollapseGuard",
    "FailureMining",
    "Gallery",
    "HuggingFaceExport",
    "IterationCheckpoint",
    "MLflowGallery",
    "QuarantineList",
    "RolloutRefresh",
    "TensorBoardGallery",
    "Throughput",
    "TrajectoryLog",
    "WandbGallery",
]
