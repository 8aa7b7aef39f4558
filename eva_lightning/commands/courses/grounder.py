"""The grounder: VITAL's agent, which sees an overview, looks closer once, and says from when to when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.agent.overview import Overview
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.commands.courses.course import Course, make_world
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.grounding import Grounder, Slip, SloppyGrounder
from eva_lightning.data.synthesis.parts import lessons
from eva_lightning.data.synthesis.script import Script, ScriptSettings
from eva_lightning.data.synthesis.strips import strips
from eva_lightning.data.synthesis.world import (
    WorldFiles,
)
from eva_lightning.files.store import located, write
from eva_lightning.records import Task, Trajectory

GROUNDING = AgentConfig(
    dialect=VitalDialect(decimals=0, explain_tools=False),
    tools=[ClipFrames(fps=1, frames=10, frame_tokens=1)],
    overview=Overview(frames=8, frame_tokens=1),
)
"""VITAL's agent, small: as in configs/demo/vital/collect.yaml, but for its limits."""

SLIPS: tuple[Slip, ...] = ("guess", "wide", "narrow", "elsewhere", "elsewhere", "elsewhere")


STEPS = {"warmup": 400, "reading": 1100, "rehearsal": 800, "sft": 80, "dgrpo": 102}
BATCH = 8
"""Questions of an iteration."""

LONG = 0.8
"""Share of its clip that a part has, at least: late seconds of whole clips are hard to read."""

ASKED: Mapping[str, Any] = {"families": ("when",), "subjects": (("background",),)}
"""What is asked: when a background is shown."""


def grounding_world(world: Path, seed: int, share: float) -> tuple[WorldFiles, int]:
    """Clips of 3 to 10 minutes in scenes of 70 to 150 s, from when to when a background is shown.

    And how many of the clips are for training. The overview shows every scene, and no border.
    """
    clips = max(4, round(60 * share))
    settings = ScriptSettings(
        duration=(180, 600), event=(70, 150), fps=1, gop=1, height=112, width=112, cues=0.0
    )
    return make_world(world, clips, 24, settings, seed, per_family=8, **ASKED), clips


def parts(scripts: Sequence[Script], seed: int, count: int) -> tuple[list[Script], list[Task]]:
    """So many questions about parts of clips, and their scripts: hardly two show the same."""
    pairs = list(lessons(scripts, seed, count, (60, 600), least=LONG, per_family=9, **ASKED))
    return [part for part, _ in pairs], [task for _, task in pairs]


def to_train(scripts: Sequence[Script], seed: int, share: float) -> tuple[list[Script], list[Task]]:
    """The questions of SFT and of DGRPO; each is asked once."""
    return parts(scripts, seed + 1, max(16, round(STEPS["dgrpo"] * BATCH * share)))


def _rehearsals(scripts: Sequence[Script], world: Path, seed: int, count: int) -> list[Trajectory]:
    """A teacher who never slips."""
    pieces, tasks = parts(scripts, seed, count)
    tasks = [located(task, world) for task in tasks]
    assert GROUNDING.dialect is not None
    teacher = Grounder(pieces, tasks, GROUNDING.dialect)
    return teach("rehearsals", teacher, tasks, 1, GROUNDING, seed, told=[*scripts, *pieces])


def _grounding_lessons(world: Path, seed: int, share: float) -> dict[str, list[Trajectory]]:
    files, clips = grounding_world(world, seed, share)
    dialect = GROUNDING.dialect
    assert dialect is not None
    train = files.scripts[:clips]
    pieces, asked = to_train(train, seed, share)
    write(world / "parts.jsonl", asked)
    tasks = [located(task, world) for task in asked]
    teacher = SloppyGrounder(pieces, tasks, dialect, seed, rate=0.5, slips=SLIPS)
    made = teach("teacher", teacher, tasks, 1, GROUNDING, seed, told=[*train, *pieces])
    rows = max(64, round(9000 * share))
    return {
        "sloppy": made,
        "rehearsals": _rehearsals(train, world, seed, max(16, round(6000 * share))),
        "short_strips": list(strips(train, world, dialect, rows, seed, frames=(1, 6))),
        "strips": list(strips(train, world, dialect, 2 * rows, seed + 1, frames=(2, 10))),
    }


GROUNDER = Course(
    configs="demo/vital",
    steps=STEPS,
    reads={
        "warmup": "trajectories=world/short_strips.jsonl",
        "reading": "trajectories=world/strips.jsonl",
        "rehearsal": "trajectories=world/rehearsals.jsonl",
        "sft": "trajectories=world/sloppy.jsonl",
        "dgrpo": "tasks=world/parts.jsonl",
    },
    examined=("sft", "dgrpo"),
    questions=60,
    agent=("--config", "demo/vital/collect.yaml"),
    prepare=_grounding_lessons,
    tiny={"hidden": 128, "layers": 3, "vocab": 420, "numbers": 600, "likeness": 0.7},
)
"""VITAL's: it sees an overview, looks closer once, and says from when to when."""
