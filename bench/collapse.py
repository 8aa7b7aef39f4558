"""Collapse: what the guard says, and when: `python bench/collapse.py [--json] [--rerun] [--seeds 0 1 2 3 4]`.

GRPO of the demo (80 iterations) from the policy that KTO leaves, on some seeds, with the guard at its
defaults: it should say nothing. On two of them the same with a reward that takes two points for a look: the
policy learns not to look, and the guard should stop it within ten iterations of the first one in which
fewer than a fifth of the trajectories look; and once more with `rollback`. The record is of a demo without
signposts.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from recorded import front

from eva_lightning.files.store import read
from eva_lightning.records import Trajectory
from eva_lightning.reports.metrics import trajectory_metrics

FLOOR = 0.2
"""The share of trajectories that look, below which a policy has collapsed."""
COLLAPSES = (0, 1)
"""Seeds on which it is made to collapse, too."""
PAID = [
    {
        "class_path": "CostReward",
        "init_args": {"weight": 2.0, "unit": "frames", "cap": 1, "only_when_right": False},
    }
]
"""Two points are taken from whoever saw a frame; nothing is given for an answer."""
TOLD = re.compile(r"iteration \d+: .* \d+ iterations running.*")
BACK = "going back to the weights"


def run(seed: int, folder: Path) -> dict[str, Any]:
    """A sound run; on some seeds one that is made to collapse, and one that is taken back."""
    demo = folder.parent / "demo"
    if not (demo / "kto" / "export" / "final").exists():
        _eva(["demo", "--out", str(demo)], folder.parent / "demo.txt")
    arms = [("sound", "warn", False)]
    if seed in COLLAPSES:
        arms += [("paid_not_to_look", "stop", True), ("rolled_back", "rollback", True)]
    return {"seed": seed} | {
        name: _arm(demo, folder / name, seed, action, paid) for name, action, paid in arms
    }


def _arm(demo: Path, out: Path, seed: int, action: str, paid: bool) -> dict[str, Any]:
    shutil.rmtree(out, ignore_errors=True)
    callbacks = [
        {"class_path": "CollapseGuard", "init_args": {"action": action}},
        {"class_path": "TrajectoryLog", "init_args": {"every": 1, "count": 0}},
    ]
    words = ["fit", "--config", "demo/grpo.yaml", f"--seed_everything={seed}", f"--model.seed={seed}"]
    words += [f"--model.policy.path={demo / 'kto' / 'export' / 'final'}", f"--data.seed={seed}"]
    words += [f"--data.tasks={demo / 'world'}", "--data.eval_tasks=null"]
    words += [f"--trainer.default_root_dir={out}", f"--trainer.callbacks={json.dumps(callbacks)}"]
    words += [f"--model.rewards={json.dumps(PAID)}"] if paid else []
    said = _eva(words, out.with_suffix(".txt"))
    looked = [
        trajectory_metrics(read(file, Trajectory))["looked"]
        for file in sorted(out.rglob("iteration-*.jsonl"))
    ]
    told = [found[0] for line in said.splitlines() if (found := TOLD.search(line))]
    return {"looked": [round(share, 3) for share in looked], "told": told}


def _eva(words: list[str], said: Path) -> str:
    said.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "eva_lightning", *words]
    ended = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    said.write_text(ended.stdout + ended.stderr)
    if ended.returncode:
        sys.exit(f"{' '.join(words)} ended with {ended.returncode}; see {said}")
    return ended.stdout + ended.stderr


def onset(looked: list[float]) -> int | None:
    """The first iteration (from 1) in which too few look; None if there is none."""
    return next((number for number, share in enumerate(looked, start=1) if share < FLOOR), None)


def combined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Sound runs in silence, and how soon the others were stopped."""
    made = [one for one in runs if "paid_not_to_look" in one]
    delays = [delay for one in made if (delay := _delay(one["paid_not_to_look"])) is not None]
    return {
        "sound_runs": len(runs),
        "silent": sum(not one["sound"]["told"] for one in runs),
        "collapses": len(made),
        "stopped": len(delays),
        "iterations_after_onset": round(mean(delays), 2) if delays else None,
        "worst": max(delays, default=None),
        "rollbacks": sum(BACK in told for one in made for told in one["rolled_back"]["told"]),
    }


def _delay(arm: dict[str, Any]) -> int | None:
    """Iterations from the first bad one to the last one that was run; None if it was not stopped."""
    began = onset(arm["looked"])
    return None if began is None or not arm["told"] else len(arm["looked"]) - began


def show(runs: list[dict[str, Any]]) -> None:
    """A line for each run."""
    for one in runs:
        print(f"seed {one['seed']}: sound, {len(one['sound']['looked'])} iterations: {_said(one['sound'])}")
        if "paid_not_to_look" in one:
            paid = one["paid_not_to_look"]
            print(f"  paid not to look: collapsed in iteration {onset(paid['looked'])}: {_said(paid)}")
            print(f"  the same, taken back: {_said(one['rolled_back'])}")


def _said(arm: dict[str, Any]) -> str:
    return "; ".join(arm["told"]) or "the guard is silent"


if __name__ == "__main__":
    front(__file__, __doc__, 8, run, show, combined)
