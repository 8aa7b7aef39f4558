"""Grounding: DGRPO and a closer look: `python bench/grounding.py [--json] [--rerun] [--seeds 0 1]`.

`eva demo --agent vital` from nothing: clips of 3 to 10 minutes, from when to when is a colour shown? An
overview of eight frames tells about when, one call of the tool brings ten frames of the range that it names.
Beside it, from the same policies and for the same number of steps:

* without the tool: from the same lessons, SFT on a teacher who answers by the overview, then DGRPO;
* GRPO in place of DGRPO, from the same SFT.

The questions are a mixture: easy where the scene lasts two or more of the overview's steps, hard where it
lasts less. Measured is the mean overlap (IoU) on questions about clips that no training task shows, at
temperature 1, four attempts each. The last run is kept beside this file and printed; `--rerun` makes a new
one, and what was done is kept.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from recorded import cpu_minutes, front

from eva_lightning.commands.courses.grounder import GROUNDER, GROUNDING, to_train
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.grounding import Grounder
from eva_lightning.data.synthesis.world import load_world
from eva_lightning.files.store import located, portable, read, write
from eva_lightning.records import Trajectory
from eva_lightning.reports.summary import summarize, table
from eva_lightning.scoring import score

NO_TOOL = "--model.agent.tools=[]"
TITLES = {
    "rehearsal": "rehearsals",
    "sft": "SFT",
    "dgrpo": "DGRPO",
    "overview": "DGRPO without the tool",
    "grpo": "GRPO",
    "teacher": "the teacher",
    "teacher_overview": "the teacher without the tool",
}
TARGETS = {"gain_miou": 0.2, "tool_gain_miou": 0.1}


def run(seed: int, folder: Path) -> dict[str, Any]:
    """One demo from nothing and the other two arms. What is there is not made again."""
    demo, spent = folder / "demo", folder / "demo_minutes.json"
    if not spent.exists():
        began = cpu_minutes()
        eva(["demo", "--agent", "vital", "--out", str(demo), "--seed", str(seed)])
        spent.write_text(json.dumps(round(cpu_minutes() - began, 1)))
    examine(demo / "rehearsal", demo, seed, ())
    without_tool(demo, folder, seed)
    examine(folder / "overview", demo, seed, ("--agent.tools=[]",))
    if not (folder / "grpo" / "export" / "final").exists():
        words = stage("dgrpo", demo / "sft", folder / "grpo", seed)
        eva([*words, f"--data.tasks={demo / 'world' / 'parts.jsonl'}", "--model.advantage=GRPOAdvantage"])
    examine(folder / "grpo", demo, seed, ())
    return found_in(seed, folder)


def found_in(seed: int, folder: Path) -> dict[str, Any]:
    """The record of what was examined so far, and of teachers who read without a mistake."""
    demo = folder / "demo"
    places = {arm: demo / "held_out" / f"{arm}.jsonl" for arm in ("sft", "dgrpo")}
    places["rehearsal"] = demo / "rehearsal" / "held_out.jsonl"
    places |= {arm: folder / arm / "held_out.jsonl" for arm in ("overview", "grpo")}
    found: dict[str, Any] = {
        "seed": seed,
        "cpu_minutes": json.loads((folder / "demo_minutes.json").read_text()),
    }
    found |= {arm: measured(read(place, Trajectory)) for arm, place in places.items() if place.exists()}
    files = load_world(demo / "world")
    for name, tools in (("teacher", GROUNDING.tools), ("teacher_overview", [])):
        agent = replace(GROUNDING, tools=tools)
        assert agent.dialect is not None
        teacher = Grounder(files.scripts, files.held_out, agent.dialect, tool=bool(tools))
        found[name] = measured(teach(name, teacher, files.held_out, 1, agent, seed))
    return found


def without_tool(demo: Path, folder: Path, seed: int) -> None:
    """The arm that answers by the overview alone: taught, then rewarded, as long as the other one."""
    lessons = demo / "world" / "overview.jsonl"
    if not lessons.exists():
        files = load_world(demo / "world")
        pieces, asked = to_train(files.trained_on, seed, 1.0)
        tasks = [located(task, demo / "world") for task in asked]
        agent = replace(GROUNDING, tools=[])
        assert agent.dialect is not None
        teacher = Grounder(pieces, tasks, agent.dialect, tool=False)
        made = teach("overview", teacher, tasks, 1, agent, seed)
        write(lessons, [portable(one, demo / "world") for one in made])
    for name, before, out, data in (
        ("sft", demo / "rehearsal", folder / "overview_sft", f"--data.trajectories={lessons}"),
        (
            "dgrpo",
            folder / "overview_sft",
            folder / "overview",
            f"--data.tasks={demo / 'world' / 'parts.jsonl'}",
        ),
    ):
        if not (out / "export" / "final").exists():
            eva([*stage(name, before, out, seed), data, NO_TOOL])


def stage(name: str, before: Path, out: Path, seed: int) -> list[str]:
    """`eva fit` with a config of the demo; what was interrupted goes on."""
    words = ["fit", "--config", f"{GROUNDER.configs}/{name}.yaml", f"--seed_everything={seed}"]
    words += [f"--model.policy.path={before / 'export' / 'final'}", f"--model.seed={seed}"]
    words += [f"--data.seed={seed}", f"--trainer.default_root_dir={out}"]
    words += ["--data.eval_tasks=null", "--trainer.limit_val_batches=0"]
    return [*words, "--ckpt_path=last"] if (out / "checkpoints" / "last.ckpt").exists() else words


def examine(policy: Path, demo: Path, seed: int, tools: Sequence[str]) -> None:
    """The held-out questions, as `eva demo` asks them."""
    out = policy / "held_out.jsonl"
    words = ["collect", *GROUNDER.agent, *tools, "--tasks", str(demo / "world" / "held_out.jsonl")]
    words += ["--out", str(out), "--model", str(policy / "export" / "final"), "--attempts", "4"]
    eva([*words, "--limit", str(GROUNDER.questions), "--seed", str(seed), "--concurrency", "64"])


def measured(made: list[Trajectory]) -> dict[str, float]:
    """Mean overlap, of all and of each half of the mixture, and what it took."""
    summary = summarize(made)
    halves = {half: [iou(one) for one in made if hard(one) == (half == "hard")] for half in ("easy", "hard")}
    return {
        "miou": round(summary.overlaps["overlap"], 4),
        **{f"miou_{half}": round(mean(values), 4) for half, values in halves.items() if values},
        **{f"answers_{half}": len(values) for half, values in halves.items()},
        "miou_at_first_sight": round(mean(first_sight(one) for one in made), 4),
        "frames": round(summary.frames, 2),
        "rounds": round(summary.rounds, 2),
    }


def first_sight(one: Trajectory) -> float:
    """The overlap of what the first thought says, before any closer look."""
    seen = re.search(r"from (\d+) to (\d+)", one.turns[0].text) if one.turns else None
    return score(one.task, f"{seen[1]} to {seen[2]}").value if seen else 0.0


def iou(one: Trajectory) -> float:
    return score(one.task, one.answer).value


def hard(one: Trajectory) -> bool:
    """Whether the scene lasts less than two steps of the overview."""
    assert one.task.answer is not None and GROUNDING.overview is not None
    (span,) = one.task.evidence
    return span.end - span.start < 2 * duration(one) / (GROUNDING.overview.frames - 1)


def duration(one: Trajectory) -> float:
    """Seconds of the clip: the last frame of the overview is its last."""
    return max(frame.time for frame in one.prompt[-1].frames) + 1


def eva(words: list[str]) -> None:
    """A command, as a user would type it."""
    command = [sys.executable, "-m", "eva_lightning", *words]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def combined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and the differences that matter; of arms that every seed has."""
    arms = {
        arm: {name: round(mean(run[arm][name] for run in runs), 4) for name in runs[0][arm]}
        for arm in TITLES
        if all(arm in run for run in runs)
    }
    pairs = {
        "gain_miou": ("dgrpo", "sft", "miou"),
        "tool_gain_miou": ("dgrpo", "overview", "miou"),
        "dgrpo_over_grpo": ("dgrpo", "grpo", "miou"),
        "dgrpo_over_grpo_hard": ("dgrpo", "grpo", "miou_hard"),
    }
    dgrpo = arms["dgrpo"]
    return {
        **{
            name: round(arms[one][measure] - arms[other][measure], 4)
            for name, (one, other, measure) in pairs.items()
            if other in arms
        },
        "look_gain_miou": round(dgrpo["miou"] - dgrpo["miou_at_first_sight"], 4),
        **arms,
        "cpu_minutes": round(mean(run["cpu_minutes"] for run in runs), 1),
        "seeds": [run["seed"] for run in runs],
    }


def show(runs: list[dict[str, Any]]) -> None:
    """Mean and range over the seeds, and the targets."""
    whole = combined(runs)

    def cell(arm: str, name: str, form: str) -> str:
        values = [run[arm][name] for run in runs]
        return f"{mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"

    forms = {"miou": ".3f", "miou_easy": ".3f", "miou_hard": ".3f", "frames": ".1f", "rounds": ".2f"}
    rows = [
        [title, *(cell(arm, name, form) for name, form in forms.items())]
        for arm, title in TITLES.items()
        if arm in whole
    ]
    minutes = whole["cpu_minutes"]
    print(f"{len(runs)} seeds, mean (lowest to highest); a demo takes {minutes:.1f} minutes of one core\n")
    print(table(["", *(name.replace("_", " ") for name in forms)], rows) + "\n")
    for name, target in TARGETS.items():
        if name not in whole:
            print(f"{name}: not run yet")
            continue
        print(
            f"{name} {whole[name]:+.3f}, target {target:+.1f}: {'ok' if whole[name] >= target else 'MISSED'}"
        )
    for name in ("look_gain_miou", "dgrpo_over_grpo_hard"):
        print(f"{name} {whole[name]:+.3f}, no target" if name in whole else f"{name}: not run yet")


if __name__ == "__main__":
    front(__file__, __doc__, 55, run, show, combined)
