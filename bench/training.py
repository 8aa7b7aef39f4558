"""Training: loss tokens per CPU second, side by side with TRL: `bench/training.py [--json] [--rerun]`.

The same trajectories (250 to 1,470 tokens, a fifth of them written), the same weights, one thread, an
optimizer step each; pairs of runs, medians of their ratios. SFT is text alone, KTO has two frames in the
prompt, which is the case that TRL can do. TRL at its best has one trajectory in a pass (two for KTO, which it
asks for), sorted by length; as a user gets it, four, in any order. In both it scores written tokens alone,
which it does on a GPU only. Ours are our defaults.

GRPO is an iteration with the rollouts, which both write with transformers: two pictures and a question of 200
to 800 tokens, eight attempts of 64 tokens each, one turn. As a user gets it TRL has eight trajectories in a
pass; at its best it has all of the step, which pads more and calls less.
"""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median
from typing import Any

import training_grpo
from recorded import front
from training_material import SIZES, policy_folder, trajectories
from training_parts import parts
from training_sides import ours, trl

from eva_lightning.policy.renderer import Renderer
from eva_lightning.reports.summary import table

COUNTS = {"tiny": 16, "large": 4}
"""Trajectories of a step."""
QUESTIONS = {"tiny": 4, "large": 2}
"""Questions of an iteration of GRPO."""


def run(seed: int, folder: Path) -> dict[str, Any]:
    """One pair of each, for the sizes that EVA_BENCH_SIZES names."""
    found: dict[str, Any] = {"seed": seed}
    for size in os.environ.get("EVA_BENCH_SIZES", " ".join(SIZES)).split():
        checkpoint = policy_folder(size, folder.parent)
        renderer = Renderer.from_pretrained(str(checkpoint))
        plain = trajectories(renderer, COUNTS[size], seed)
        shown = trajectories(renderer, COUNTS[size], seed, frames=2)
        found[size] = parts(checkpoint, plain, shown)
        for stage, batch, least in (("sft", plain, 1), ("kto", shown, 2)):
            written = sum(one.ledger.written for one in batch)
            best = trl(stage, checkpoint, batch, least, sort=True, compact=True)
            mine = ours(stage, checkpoint, batch)
            user = trl(stage, checkpoint, batch, 4, sort=False, compact=True)
            found[size] |= {
                f"{stage}_tokens_per_cpu_second": written / mine,
                f"{stage}_vs_trl_best": best / mine,
                f"{stage}_vs_trl": user / mine,
            }
        found[size] |= grpo_pair(checkpoint, QUESTIONS[size], seed)
        print(found, flush=True)
    return found


def grpo_pair(checkpoint: Path, count: int, seed: int) -> dict[str, float]:
    """GRPO on so many questions."""
    tasks = training_grpo.questions(count, seed)
    attempts = count * training_grpo.ATTEMPTS
    best = training_grpo.trl(checkpoint, tasks, attempts)
    mine = training_grpo.ours(checkpoint, tasks)
    user = training_grpo.trl(checkpoint, tasks, 8)
    return {
        "grpo_tokens_per_cpu_second": attempts * training_grpo.WRITTEN / mine,
        "grpo_vs_trl_best": best / mine,
        "grpo_vs_trl": user / mine,
    }


def combined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the pairs; those of the large policy stand without a prefix."""
    medians: dict[str, Any] = {"pairs": {}}
    for size in SIZES:
        pairs: dict[str, list[float]] = {}
        for run in runs:
            for name, value in run.get(size, {}).items():
                pairs.setdefault(name, []).append(value)
        medians["pairs"][size] = max(map(len, pairs.values()), default=0)
        for name, values in pairs.items():
            prefix = "" if size == "large" else f"{size}_"
            medians[prefix + name] = round(median(values), 3)
    return medians


def show(runs: list[dict[str, Any]]) -> None:
    """A column for each size."""
    found = combined(runs)
    names = list(dict.fromkeys(name.removeprefix("tiny_") for name in found if name != "pairs"))
    rows = [[name, *(str(found.get(prefix + name, "")) for prefix in ("tiny_", ""))] for name in names]
    print(table(["", *(f"{size} ({found['pairs'][size]} pairs)" for size in SIZES)], rows))


if __name__ == "__main__":
    front(__file__, __doc__, 20, run, show, combined)
