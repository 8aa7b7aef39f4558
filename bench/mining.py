"""Mining: what it is worth to train on failures: `python bench/mining.py [--json] [--rerun] [--seeds 0 1 2]`.

GRPO with and without `FailureMining`, from the same policy, for the same number of iterations of the same
size, on a world in which a hard family of questions is rare. Common: the colour of the background at a
second, which a frame of any size shows. Rare (5 % of the demonstrations and of the pool): the pattern on a
small plate. Only a large frame shows it, and a policy that has met few of these looks at the wrong second, or
too coarsely, or reads it wrongly. Accuracy is that on some 170 questions of each family about clips that no
training task shows, at temperature 1, two attempts each.

A run from nothing takes about half an hour a seed, so the last one is kept beside this file and printed;
`--rerun` makes a new one. Everything is done by the commands that a user would type.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from recorded import front

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.small_talk import agent_text
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.captions import captions
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.sloppy import SloppyTeacher
from eva_lightning.data.synthesis.world import WorldFiles, build_world
from eva_lightning.files.atomic import appearing
from eva_lightning.files.store import portable, read, write
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.summary import by_source, summarize, table

COMMON, RARE = "colour_at", "mark_at"
RARITY = 0.05
"""Share of the rare family in the demonstrations and in the pool."""
CLIPS, HELD_OUT = 100, 25
SETTINGS = ScriptSettings(duration=(60, 120), height=112, width=112)
ARMS = {"without": ["demo/grpo.yaml"], "with": ["demo/grpo.yaml", "demo/mining.yaml"]}
EPOCHS, BATCHES = 2, 60
"""Of GRPO: 120 iterations. The pool has 89 batches, so an epoch sees two thirds of it."""
TARGET = 0.10


def run(seed: int, folder: Path) -> dict[str, Any]:
    """One world, one policy, and both ways to go on from it. What is there is not made again."""
    world = folder / "world"
    prepare(seed, folder)
    for stage, before, data, steps in (
        ("warmup", folder / "tiny", world / "captions.jsonl", 250),
        ("sft", folder / "warmup" / "export" / "final", world / "teacher.jsonl", 750),
    ):
        fit(folder / stage, [f"demo/{stage}.yaml"], seed, before, trajectories=data, max_steps=steps)
    found: dict[str, Any] = {"seed": seed, "before": examine(folder, "sft", seed)}
    for arm, configs in ARMS.items():
        start = folder / "sft" / "export" / "final"
        length = {"limit_train_batches": BATCHES, "max_epochs": EPOCHS}
        fit(folder / arm, configs, seed, start, tasks=world, **length)
        found[arm] = examine(folder, arm, seed)
    mined = [read(path, Task) for path in (folder / "with" / "mined").glob("iteration-??????.jsonl")]
    found["mined"] = sum(map(len, mined))
    found["mined_rare"] = sum(task.source == RARE for tasks in mined for task in tasks)
    return found


def prepare(seed: int, folder: Path) -> None:
    """The world with its rare family, a teacher's demonstrations, the reading lesson and random weights."""
    if (folder / "tiny").exists():
        return
    world = folder / "world"
    files = build_world(
        world,
        CLIPS + HELD_OUT,
        SETTINGS,
        families=(COMMON, RARE),
        per_family=8,
        open_share=1.0,
        seed=seed,
        held_out=HELD_OUT,
    )
    pool = thinned(files.tasks, seed)
    write(world / "tasks.jsonl", [portable(task, world) for task in pool])
    made = demonstrations(files, pool, seed)
    lessons = list(captions(files.scripts[:CLIPS], world, seed, traits=("background", "mark")))
    for name, rows in (("teacher", made), ("captions", lessons)):
        write(world / f"{name}.jsonl", [portable(one, world) for one in rows])
    corpus = [message.text for one in made for message in one.messages]
    corpus += [turn.text for one in lessons for turn in one.turns]
    with appearing(folder / "tiny") as part:
        build_tiny(part, seed=seed, hidden=64, layers=4, vocab=512, corpus=[*agent_text(), *corpus * 2])


def thinned(tasks: tuple[Task, ...], seed: int) -> list[Task]:
    """All tasks of the common family, and so many of the rare one that they are 5 % of the pool."""
    common = [task for task in tasks if task.source == COMMON]
    rare = [task for task in tasks if task.source == RARE]
    kept = random.Random(seed).sample(rare, round(len(common) * RARITY / (1 - RARITY)))
    return [task for task in tasks if task.source == COMMON or task in kept]


def demonstrations(files: WorldFiles, pool: list[Task], seed: int) -> list[Trajectory]:
    """Half of the attempts hold a mistake, as in the demo; of those at the rare family, most."""
    dialect = EvaDialect(timestamps="seconds")
    made = []
    for family, rate in ((COMMON, 0.5), (RARE, 0.75)):
        tasks = [task for task in pool if task.source == family]
        teacher = SloppyTeacher(
            files.scripts, tasks, dialect, seed, rate=rate, mistakes=("flood", "elsewhere", "blurred")
        )
        made += teach(family, teacher, tasks, 1, dialect, seed)
    return made


def fit(out: Path, configs: list[str], seed: int, policy: Path, **settings: Path | int) -> None:
    """`eva fit`, unless it was done; what was interrupted goes on."""
    if (out / "export" / "final").exists():
        return
    words = ["fit", *(word for one in configs for word in ("--config", one))]
    words += [f"--seed_everything={seed}", f"--trainer.default_root_dir={out}"]
    words += [f"--model.policy.path={policy}", f"--model.seed={seed}", f"--data.seed={seed}"]
    if out.name != "warmup":
        words += [f"--data.eval_tasks={out.parent / 'world'}", "--trainer.limit_val_batches=0"]
    for name, value in settings.items():
        words.append(f"--{'data' if isinstance(value, Path) else 'trainer'}.{name}={value}")
    if (out / "checkpoints" / "last.ckpt").exists():
        words.append("--ckpt_path=last")
    eva(words)


def examine(folder: Path, stage: str, seed: int) -> dict[str, float]:
    """Accuracy on each family."""
    out = folder / "held_out" / f"{stage}.jsonl"
    words = ["collect", "--tasks", str(folder / "world" / "held_out.jsonl"), "--out", str(out)]
    words += ["--model", str(folder / stage / "export" / "final"), "--attempts", "2", "--seed", str(seed)]
    words += ["--concurrency", "64", "--agent.limits.turns=4"]
    words += ["--agent.limits.turn_tokens=96", "--agent.limits.total_tokens=1536"]
    eva(words)
    families = by_source(read(out, Trajectory))
    names = {"common": COMMON, "rare": RARE}
    return {name: round(summarize(families[family]).accuracy, 4) for name, family in names.items()}


def eva(words: list[str]) -> None:
    """A command, as a user would type it."""
    command = [sys.executable, "-m", "eva_lightning", *words]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def combined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds."""
    means = {
        f"{family}_{arm}": round(mean(run[arm][family] for run in runs), 4)
        for family in ("rare", "common")
        for arm in ("before", *ARMS)
    }
    return {
        "gain_on_rare_family": round(means["rare_with"] - means["rare_without"], 4),
        "gain_on_common_family": round(means["common_with"] - means["common_without"], 4),
        **means,
        "gains_on_rare_family": [round(run["with"]["rare"] - run["without"]["rare"], 4) for run in runs],
        "seeds": [run["seed"] for run in runs],
    }


def show(runs: list[dict[str, Any]]) -> None:
    """Each seed, and the means."""
    arms = ("before", *ARMS)
    titles = {"before": "SFT", "without": "GRPO", "with": "GRPO with mining"}
    rows = [
        [f"{run['seed']}", *(f"{run[arm][family]:.3f}" for family in ("rare", "common") for arm in arms)]
        for run in runs
    ]
    whole = combined(runs)
    rows.append(
        ["mean", *(f"{whole[f'{family}_{arm}']:.3f}" for family in ("rare", "common") for arm in arms)]
    )
    header = [f"{family}: {titles[arm]}" for family in ("rare", "common") for arm in arms]
    print(f"held out, temperature 1, {EPOCHS * BATCHES} iterations of GRPO\n")
    print(table(["seed", *header], rows))
    gain = whole["gain_on_rare_family"]
    print(
        f"\ngain on the rare family {gain:+.3f}, target {TARGET:+.2f}: {'ok' if gain >= TARGET else 'MISSED'}"
    )


if __name__ == "__main__":
    front(__file__, __doc__, 30, run, show, combined)
