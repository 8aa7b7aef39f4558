"""Learning: how much each stage teaches: `python bench/learning.py [--json] [--rerun] [--seeds 0 1 2]`.

Runs `eva demo` from nothing on several seeds and compares the stages on questions about clips that no
training task shows: temperature 1, four attempts each. `two_looks` is the accuracy on signposts alone, whose
first frame tells where the second one has to be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from recorded import cpu_minutes, front

from eva_lightning.files.store import read
from eva_lightning.records import Trajectory
from eva_lightning.reports.summary import summarize, table

STAGES = ("sft", "kto", "grpo")
MEASURES = ("accuracy", "rounds", "frames", "visual_tokens")


def run(seed: int, folder: Path) -> dict[str, Any]:
    """One demo from nothing: its minutes, and what each stage is worth."""
    shutil.rmtree(folder, ignore_errors=True)
    began = cpu_minutes()
    command = [sys.executable, "-m", "eva_lightning", "demo", "--out", str(folder), "--seed", str(seed)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found: dict[str, Any] = {"seed": seed, "minutes": round(cpu_minutes() - began, 1)}
    for stage in STAGES:
        found[stage] = _measured(folder / "held_out" / f"{stage}.jsonl")
        found[stage]["greedy_accuracy"] = _measured(folder / "greedy" / f"{stage}.jsonl")["accuracy"]
    return found


def _measured(path: Path) -> dict[str, float]:
    asked = list(read(path, Trajectory))
    summary = summarize(asked)
    two_looks = summarize([one for one in asked if one.task.source == "signpost"])
    return {measure: getattr(summary, measure) for measure in MEASURES} | {"two_looks": two_looks.accuracy}


def combined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and the ratios that matter."""
    stages: dict[str, dict[str, float]] = {
        stage: {name: round(mean(run[stage][name] for run in runs), 4) for name in runs[0][stage]}
        for stage in STAGES
    }
    sft, kto, grpo = (stages[stage] for stage in STAGES)
    return {
        **stages,
        "gain_kto_over_sft": round(kto["accuracy"] - sft["accuracy"], 4),
        "gain_grpo_over_sft": round(grpo["accuracy"] - sft["accuracy"], 4),
        "frames_grpo_over_sft": round(grpo["frames"] / sft["frames"], 4),
        "visual_tokens_grpo_over_sft": round(grpo["visual_tokens"] / sft["visual_tokens"], 4),
        "minutes": round(mean(run["minutes"] for run in runs), 1),
        "seeds": [run["seed"] for run in runs],
    }


def show(runs: list[dict[str, Any]]) -> None:
    """Mean and range over the seeds."""

    def cell(stage: str, name: str, form: str) -> str:
        values = [run[stage][name] for run in runs]
        return f"{mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"

    forms = {
        "accuracy": ".3f",
        "two_looks": ".3f",
        "greedy_accuracy": ".3f",
        "rounds": ".2f",
        "frames": ".2f",
        "visual_tokens": ".1f",
    }
    rows = [[stage, *(cell(stage, name, form) for name, form in forms.items())] for stage in STAGES]
    minutes = mean(run["minutes"] for run in runs)
    print(f"{len(runs)} seeds, mean (lowest to highest); {minutes:.1f} minutes a run\n")
    print(table(["stage", *(name.replace("_", " ") for name in forms)], rows))


if __name__ == "__main__":
    front(__file__, __doc__, 12, run, show, combined)
