"""Staleness: what GRPO learns from turns of older weights: `python bench/staleness.py [--json] [--rerun]`.

Runs `eva demo` from nothing, and then its last stage again from the KTO checkpoint, each time with the same
tasks and dice, written by the weights of 0, 1, 2 and 4 iterations before (engines/lagging_engine.py). Held
out: accuracy at temperature 1, four attempts at each question. The record is of a demo without signposts,
on 200 questions.

This isolates staleness: every turn is as old as `max_staleness` permits, in every run alike. With real
batches ahead (RolloutRefresh) none is older, and those written after a hand-over of weights are newer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from recorded import front

from eva_lightning.commands.courses.planner import PLANNER
from eva_lightning.files.store import read
from eva_lightning.records import Trajectory
from eva_lightning.reports.summary import summarize, table

LAGS = (0, 1, 2, 4)
ARMS = ("kto", *map(str, LAGS))
MEASURES = ("accuracy", "frames")


def run(seed: int, folder: Path) -> dict[str, Any]:
    """One demo, and its last stage at each staleness. What is there is not made again."""
    demo = folder / "demo"
    eva("demo", f"--out={demo}", f"--seed={seed}")
    found: dict[str, Any] = {"seed": seed}
    found["kto"] = measured(demo / "held_out" / "kto.jsonl", demo / "greedy" / "kto.jsonl")
    for lag in LAGS:
        out = folder / str(lag)
        train(seed, lag, demo, out)
        found[str(lag)] = examined(seed, demo, out)
    return found


def train(seed: int, lag: int, demo: Path, out: Path) -> None:
    """The demo's last stage with an engine that lags."""
    if (out / "export" / "final").exists():
        return
    words = ["fit", "--config=demo/grpo.yaml", f"--seed_everything={seed}", f"--model.seed={seed}"]
    words += [f"--model.policy.path={demo / 'kto' / 'export' / 'final'}", f"--trainer.default_root_dir={out}"]
    words += [f"--data.tasks={demo / 'world'}", f"--data.eval_tasks={demo / 'world'}", f"--data.seed={seed}"]
    words += ["--model.engine=LaggingEngine", f"--model.engine.lag={lag}"]
    words += ["--trainer.callbacks+=RolloutRefresh", f"--trainer.callbacks.max_staleness={lag}"]
    words += ["--trainer.limit_val_batches=0"]  # its weights would be old ones
    eva(*words)


def examined(seed: int, demo: Path, out: Path) -> dict[str, float]:
    """The held-out questions as the demo asks them: four attempts with dice, one without."""
    asked = {"held_out": ("4", "1.0"), "greedy": ("1", "0.0")}
    for name, (attempts, temperature) in asked.items():
        words = [f"--tasks={demo / 'world' / 'held_out.jsonl'}", f"--out={out / name}.jsonl"]
        words += [f"--model={out / 'export' / 'final'}", f"--limit={PLANNER.questions}"]
        words += [f"--attempts={attempts}"]
        words += [f"--agent.temperature={temperature}", f"--seed={seed}", "--concurrency=64"]
        words += ["--agent.limits.turns=4", "--agent.limits.turn_tokens=96"]
        words += ["--agent.limits.total_tokens=1536"]
        eva("collect", *words)
    return measured(*(out / f"{name}.jsonl" for name in asked))


def measured(held_out: Path, greedy: Path) -> dict[str, float]:
    """What a policy is worth."""
    summary, sure = summarize(read(held_out, Trajectory)), summarize(read(greedy, Trajectory))
    return {name: getattr(summary, name) for name in MEASURES} | {"greedy_accuracy": sure.accuracy}


def eva(*words: str) -> None:
    """A command, as a user would type it."""
    command = [sys.executable, "-m", "eva_lightning", *words]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def combined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and what staleness costs."""
    means = {arm: round(mean(run[arm]["accuracy"] for run in runs), 4) for arm in ARMS}
    return {
        **{f"accuracy_at_{arm}" if arm != "kto" else "accuracy_of_kto": means[arm] for arm in ARMS},
        **{f"cost_of_{lag}": round(means["0"] - means[str(lag)], 4) for lag in LAGS if lag},
        "seeds": [run["seed"] for run in runs],
    }


def show(runs: list[dict[str, Any]]) -> None:
    """Mean and range over the seeds."""

    def cell(arm: str, name: str, form: str) -> str:
        values = [run[arm][name] for run in runs]
        return f"{mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"

    forms = {"accuracy": ".3f", "greedy_accuracy": ".3f", "frames": ".2f"}
    titles = {"kto": "before (KTO)"} | {str(lag): str(lag) for lag in LAGS}
    rows = [[titles[arm], *(cell(arm, name, form) for name, form in forms.items())] for arm in ARMS]
    print(f"seeds {', '.join(str(run['seed']) for run in runs)}: mean (lowest to highest), held out\n")
    print(table(["staleness", *(name.replace("_", " ") for name in forms)], rows))


if __name__ == "__main__":
    front(__file__, __doc__, 30, run, show, combined)
