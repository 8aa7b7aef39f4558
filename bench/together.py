"""Together: grounding and answers trained at once, and each alone: `python bench/together.py [--rerun]`.

VITAL reports that both gain when they are trained together. Here the agent of `eva demo --agent vital`, after
its rehearsals, is asked a second kind of question about the same scenes: "Which background comes right after
the red one?" It rehearses both kinds, imitates a teacher of both who slips, and from that one policy three
arms of DGRPO go on for as many steps each: grounding alone, answers alone, half of each. All are asked both
kinds about clips that no training task shows, at temperature 1, four attempts each. The last run is kept
beside this file and printed; `--rerun` makes a new one, and what was done is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from recorded import front

from eva_lightning.commands.courses.grounder import BATCH, GROUNDER, GROUNDING, SLIPS, parts
from eva_lightning.commands.courses.school import ATTEMPTS, School
from eva_lightning.commands.findings.trial import Rows, minutes_of, rows_of, seed_of, took
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.script import Script
from eva_lightning.data.synthesis.what_follows import Kind, Teller, asked
from eva_lightning.data.synthesis.world import load_world
from eva_lightning.files.store import located, portable, read, write
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.effects import Measure, Seed, effect, level, summed
from eva_lightning.reports.summary import table

KINDS: dict[Kind, Measure] = {"grounding": "miou", "answers": "accuracy"}
"""What is asked, and how it is measured."""

ARMS: dict[str, Sequence[Kind]] = {"grounding": ("grounding",), "answers": ("answers",), "both": tuple(KINDS)}
"""What DGRPO is asked in each."""

POLICIES = ("rehearsal", "sft", *ARMS)
"""Who is examined."""

REHEARSED, TRAINED = 3200, 816
"""Attempts of the teacher who does not slip, and of the one who does."""

STEPS = {"rehearsal": 200, "sft": 80, "dgrpo": 51}
"""Of each stage; an arm asks eight questions a step, each of them once."""

REWARDS = [
    {"class_path": "OverlapReward", "init_args": {"stretch": {"least": 0.3, "enough": 0.95}}},
    {"class_path": "AccuracyReward", "init_args": {"timed": False}},
    {"class_path": "FormReward", "init_args": {"most": 1}},
]


def in_turn(tasks: Sequence[Task], scripts: Iterable[Script], kinds: Sequence[Kind]) -> list[Task]:
    """Each question once, the kinds taking turns."""
    known = {script.id: script for script in scripts}
    return [
        asked(task, known[task.clips[0].id], kinds[place % len(kinds)]) for place, task in enumerate(tasks)
    ]


def run(seed: int, folder: Path) -> dict[str, Any]:
    """The course as far as its rehearsals, rehearsals and slips of both kinds, and the arms."""
    school = School(course=GROUNDER, folder=folder / "demo", seed=seed, share=1.0)
    took(folder, "all", lambda: train(school, folder))
    arms = {arm: examined(folder / arm, school) for arm in POLICIES}
    return {"seed": seed, "minutes": minutes_of(folder)["all"], **arms}


def train(school: School, folder: Path) -> None:
    """What is there is not made again."""
    if not (school.folder / "tiny").exists():
        school.prepare()
    for name in ("warmup", "reading", "rehearsal"):
        school.train(name)
    lessons(school)
    learn("rehearsal", school.policy("rehearsal"), folder / "rehearsal", school)
    learn("sft", made_by(folder / "rehearsal"), folder / "sft", school)
    for arm in ARMS:
        learn("dgrpo", made_by(folder / "sft"), folder / arm, school)


def made_by(stage: Path) -> Path:
    """The policy that a stage left."""
    return stage / "export" / "final"


def lessons(school: School) -> None:
    """What the rehearsals, SFT and each arm read, and the questions of the examination."""
    world = school.world
    if (world / "held_out_both.jsonl").exists():
        return
    files = load_world(world)
    train = files.trained_on
    for name, dice, count, rate in (("rehearsal", 7, REHEARSED, 0.0), ("sft", 8, TRAINED, 0.5)):
        pieces, tasks = parts(train, school.seed + dice, count)
        both = [located(task, world) for task in in_turn(tasks, pieces, tuple(KINDS))]
        assert GROUNDING.dialect is not None
        teacher = Teller(pieces, both, GROUNDING.dialect, school.seed, rate=rate, slips=SLIPS)
        made = teach(name, teacher, both, 1, GROUNDING, school.seed, told=[*train, *pieces])
        write(world / f"both_{name}.jsonl", [portable(one, world) for one in made])
    pieces, tasks = parts(train, school.seed + 1, STEPS["dgrpo"] * BATCH)
    for arm, kinds in ARMS.items():
        write(world / f"{arm}_dgrpo.jsonl", in_turn(tasks, pieces, kinds))
    tasks = [task for kind in KINDS for task in in_turn(files.held_out, files.scripts, [kind])]
    write(world / "held_out_both.jsonl", tasks)


def learn(name: str, start: Path, out: Path, school: School) -> None:
    """A stage of the demo on questions of both kinds, or of one, unless it was done."""
    if made_by(out).exists():
        return
    words = ["--data.eval_tasks=null", "--trainer.limit_val_batches=0"]
    words += [f"--model.rewards={json.dumps(REWARDS)}"] if name == "dgrpo" else []
    lesson = school.world / f"{out.name if name == 'dgrpo' else 'both'}_{name}.jsonl"
    school.fit(name, start, out, data=lesson, steps=STEPS[name], words=words)


def examined(out: Path, school: School) -> dict[Kind, Rows]:
    """What the held-out questions of both kinds came to, each by itself."""
    asked, said = school.world / "held_out_both.jsonl", out / "held_out.jsonl"
    school.collect(made_by(out), asked, str(said), len(read(asked, Task)), ATTEMPTS, 1.0)
    made = read(said, Trajectory)
    kinds = {kind: [one for one in made if one.task.source == kind] for kind in KINDS}
    return {kind: rows_of(summed(ones, lambda one: True)) for kind, ones in kinds.items()}


def combined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What both kinds gain when they are trained together, with intervals over seeds and questions."""

    def sums(arm: str, kind: Kind) -> list[Seed]:
        return [seed_of(run[arm][kind]) for run in runs]

    found: dict[str, Any] = {}
    for kind, measure in KINDS.items():
        gain = effect(measure, sums("both", kind), sums(kind, kind))
        found[f"{kind}_gain"] = {
            "effect": round(gain.mean, 4),
            "low": round(gain.low, 4),
            "high": round(gain.high, 4),
            "holds": gain.low > 0,
        }
        for arm in POLICIES:
            found.setdefault(arm, {})[kind] = round(level(measure, sums(arm, kind)), 4)
    minutes = [run["minutes"] for run in runs]
    spent = (
        None if None in minutes else round(sum(minutes), 1)
    )  # of the first seed nobody took all of them down
    return {**found, "minutes": spent, "seeds": [run["seed"] for run in runs]}


def show(runs: list[dict[str, Any]]) -> None:
    """A row for each policy, and what training together adds."""
    whole = combined(runs)
    rows = [[arm, *(f"{whole[arm][kind]:.3f}" for kind in KINDS)] for arm in POLICIES]
    print(table(["", *(f"{kind} ({measure})" for kind, measure in KINDS.items())], rows) + "\n")
    for kind in KINDS:
        gain, low, high = (whole[f"{kind}_gain"][part] for part in ("effect", "low", "high"))
        print(f"{kind}, together over alone: {gain:+.3f} ({low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    front(__file__, __doc__, 90, run, show, combined)
