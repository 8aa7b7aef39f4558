"""The planner: EVA's agent, which learns to take one good look, and at a signpost another where it points."""

from __future__ import annotations

import random
from pathlib import Path

from eva_lightning.agent.config import default_dialect
from eva_lightning.commands.courses.course import Course, make_world
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.captions import captions
from eva_lightning.data.synthesis.listings import signs
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.sloppy_searcher import SearchMistake, SloppySearcher
from eva_lightning.records import Trajectory

PLANNED = ("colour_at", "mark_at", "signpost")
"""Families of questions; the last one takes two looks."""

PLANNER_MISTAKES: tuple[SearchMistake, ...] = (
    "guess",
    "thin",
    "flood",
    "flood",
    "elsewhere",
    "blurred",
    "hasty",
)

READING = 3
"""So many demonstrations come with one caption: who only acted for a while may forget how to read."""


def _planner_lessons(world: Path, seed: int, share: float) -> dict[str, list[Trajectory]]:
    """Clips of a minute or two, the colour or the fine pattern at some second, and signposts."""
    clips = max(4, round(100 * share))
    settings = ScriptSettings(duration=(60, 120), height=112, width=112)
    files = make_world(world, clips, 16, settings, seed, families=PLANNED, per_family=8)
    dialect = default_dialect(seconds=True)
    teacher = SloppySearcher(files.scripts, files.tasks, dialect, seed, rate=0.6, mistakes=PLANNER_MISTAKES)
    made = teach("teacher", teacher, files.tasks, 1, dialect, seed, told=files.scripts)
    train, dice = files.scripts[:clips], random.Random(f"planner lessons/{seed}")
    rows = list(captions(train, world, seed, traits=("background", "mark")))
    rows += signs(train, world, dialect, len(rows) // 2, seed)
    both = [*made, *dice.sample(rows, min(len(rows), len(made) // READING))]
    return {
        "sloppy": made,
        "captions": dice.sample(rows, len(rows)),
        "demonstrations": dice.sample(both, len(both)),
    }


PLANNER = Course(
    configs="demo",
    steps={"warmup": 400, "sft": 700, "kto": 30, "grpo": 80},
    reads={
        "warmup": "trajectories=world/captions.jsonl",
        "sft": "trajectories=world/demonstrations.jsonl",
        "kto": "trajectories=feedback.jsonl",
        "grpo": "tasks=world",
    },
    examined=("sft", "kto", "grpo"),
    questions=150,
    agent=("--agent.limits.turns=4", "--agent.limits.turn_tokens=96", "--agent.limits.total_tokens=1536"),
    prepare=_planner_lessons,
    tiny={"hidden": 64, "layers": 4, "vocab": 768, "numbers": 130, "likeness": 0.7},
)
"""EVA's: it plans before it looks."""
