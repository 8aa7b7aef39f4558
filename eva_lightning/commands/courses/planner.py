"""The planner: EVA's agent, which learns to take one good look."""

from __future__ import annotations

from pathlib import Path

from eva_lightning.agent.config import default_dialect
from eva_lightning.commands.courses.course import Course, make_world
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.captions import captions
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.sloppy import Mistake, SloppyTeacher
from eva_lightning.records import Trajectory

PLANNER_MISTAKES: tuple[Mistake, ...] = ("guess", "thin", "flood", "flood", "elsewhere", "blurred")


def _planner_lessons(world: Path, seed: int, share: float) -> dict[str, list[Trajectory]]:
    """Clips of a minute or two, the colour or the fine pattern at some second."""
    clips = max(4, round(100 * share))
    settings = ScriptSettings(duration=(60, 120), height=112, width=112)
    files = make_world(world, clips, 16, settings, seed, families=("colour_at", "mark_at"), per_family=8)
    dialect = default_dialect(seconds=True)
    teacher = SloppyTeacher(files.scripts, files.tasks, dialect, seed, rate=0.6, mistakes=PLANNER_MISTAKES)
    made = teach("teacher", teacher, files.tasks, 1, dialect, seed, told=files.scripts)
    rows = list(captions(files.scripts[:clips], world, seed, traits=("background", "mark")))
    return {"sloppy": made, "captions": rows}


PLANNER = Course(
    configs="demo",
    steps={"warmup": 250, "sft": 750, "kto": 30, "grpo": 80},
    reads={
        "warmup": "trajectories=world/captions.jsonl",
        "sft": "trajectories=world/sloppy.jsonl",
        "kto": "trajectories=feedback.jsonl",
        "grpo": "tasks=world",
    },
    examined=("sft", "kto", "grpo"),
    questions=200,
    agent=("--agent.limits.turns=4", "--agent.limits.turn_tokens=96", "--agent.limits.total_tokens=1536"),
    prepare=_planner_lessons,
    tiny={"hidden": 64, "layers": 4, "vocab": 512},
)
"""EVA's: it plans before it looks."""
