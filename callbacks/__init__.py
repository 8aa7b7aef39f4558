"""Lightning callbacks: what happens around the iterations of a module. They watch, write, tell and hand
over weights; none of them trains.

Importing this package is enough for a config to name them bare: `class_path: TrajectoryLog`.
"""

from callbacks.benchmark_evaluation import BenchmarkEvaluation
from callbacks.collapse_guard import CollapseGuard
from callbacks.export import HuggingFaceExport
from callbacks.failure_mining import FailureMining
from callbacks.iteration_checkpoint import IterationCheckpoint
from callbacks.progress import AgentProgressBar
from callbacks.rollout_refresh import RolloutRefresh
from callbacks.throughput import Throughput
from callbacks.trajectory_log import TrajectoryLog

__all__ = [
    "AgentProgressBar",
    "BenchmarkEvaluation",
    "CollapseGuard",
    "FailureMining",
    "HuggingFaceExport",
    "IterationCheckpoint",
    "RolloutRefresh",
    "Throughput",
    "TrajectoryLog",
]
