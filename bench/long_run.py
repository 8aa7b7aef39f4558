"""A long run: does memory grow, do handles or threads: `python bench/long_run.py [--json] [--rerun]`.

2,000 iterations of GRPO through `eva fit`, with everything that a run has by default (TensorBoard, trajectory
log, checkpoints) and a policy that looks at real clips. Resident memory, open files and threads are read
every ten iterations; the slope is that of a straight line through the last three quarters, for each hundred
iterations.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback

ROOT = Path(__file__).parents[1]
WARM = 0.25
"""The share of a run that is not counted: caches fill, libraries are read."""


class Vitals(Callback):
    """Writes down what the process holds, now and then."""

    def __init__(self, file: str, every: int = 10) -> None:
        """
        Args:
            file: JSONL file to write.
            every: Iterations between two readings.
        """
        self.file, self.every = Path(file), every

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if pl_module.iteration % self.every:
            return
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        row = {
            "iteration": pl_module.iteration,
            "megabytes": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            "files": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
            "frames": pl_module.counts["frames"],
        }
        with self.file.open("a") as file:
            file.write(json.dumps(row) + "\n")


def run(folder: Path, iterations: int) -> dict[str, Any]:
    """One run from nothing."""
    from tests.system.faults.runs import LIMITS, SECONDS, lay_ground

    shutil.rmtree(folder, ignore_errors=True)
    ground = lay_ground(folder / "ground")
    vitals, began = folder / "vitals.jsonl", time.perf_counter()
    model = {
        "policy": {"path": str(ground.policy), "dtype": "float32"},
        "optimizer": {"lr": 1e-6, "decay": "constant"},  # it shall go on looking
        "agent": {"limits": LIMITS, "dialect": SECONDS},
        "attempts": 4,
    }
    config = {
        "model": {"class_path": "GRPOModule", "init_args": model},
        "data": {"class_path": "TaskData", "init_args": {"tasks": str(ground.world.folder), "batch_size": 1}},
        "trainer": {
            "max_epochs": -(-iterations // len(ground.tasks)),
            "accelerator": "cpu",
            "default_root_dir": str(folder / "run"),
            "enable_progress_bar": False,
            "callbacks": [{"class_path": "bench.long_run.Vitals", "init_args": {"file": str(vitals)}}],
        },
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "eva_lightning", "fit", "--config", str(path)]
    subprocess.run(words, check=True, env=environment, cwd=ROOT)
    rows = [json.loads(line) for line in vitals.read_text().splitlines()]
    return _measured(rows) | {"minutes": round((time.perf_counter() - began) / 60, 1)}


def _measured(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Slopes over what follows the warm-up."""
    warm = [row for row in rows if row["iteration"] > WARM * rows[-1]["iteration"]]
    at = np.array([row["iteration"] for row in warm])
    slope = {
        name: float(np.polyfit(at, [row[name] for row in warm], 1)[0]) * 100
        for name in ("megabytes", "files", "threads")
    }
    return {
        "iterations": rows[-1]["iteration"],
        "frames_per_iteration": round(float(np.mean([row["frames"] for row in rows])), 2),
        "megabytes_per_100": round(slope["megabytes"], 3),
        "megabytes": [round(warm[0]["megabytes"], 1), round(warm[-1]["megabytes"], 1)],
        "files": [warm[0]["files"], warm[-1]["files"]],
        "files_per_100": round(slope["files"], 4),
        "threads": [warm[0]["threads"], warm[-1]["threads"]],
        "threads_per_100": round(slope["threads"], 4),
    }


def show(found: dict[str, Any]) -> None:
    """In a line."""
    print(
        f"{found['iterations']} iterations: {found['megabytes_per_100']} MB, {found['files_per_100']} files "
        f"and {found['threads_per_100']} threads more for each hundred"
    )


if __name__ == "__main__":
    from recorded import single  # a run reads this file, too, for the callback

    sys.path.insert(0, str(ROOT))
    single(__file__, __doc__, 20, {"iterations": (2000, "iterations of GRPO")}, run, show)
