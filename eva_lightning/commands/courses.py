"""Courses: what `eva demo` teaches, one for each kind of agent; demo.py runs them.

A course is data, and a function that makes its world, its lessons and its teacher's trajectories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eva_lightning.agent.config import AgentConfig, default_dialect
from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.agent.overview import Overview
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.captions import captions
from eva_lightning.data.synthesis.grounding import Slip, SloppyGrounder
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.sloppy import Mistake, SloppyTeacher
from eva_lightning.data.synthesis.strips import strips
from eva_lightning.data.synthesis.world import WorldFiles, build_world
from eva_lightning.records import Trajectory


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is taught, in which order, and how it is examined."""

    configs: str
    """Folder of the stages' configs, in configs/."""
    steps: Mapping[str, int]
    """Steps of each stage, in order; of GRPO, batches an epoch."""
    reads: Mapping[str, str]
    """What each stage learns from, by the name of its option: a file of the course's folder, or its world."""
    examined: tuple[str, ...]
    """Stages after which the held-out questions are asked."""
    questions: int
    """How many of them."""
    agent: tuple[str, ...]
    """Words for `eva collect` that say what the agent is made of."""
    prepare: Callable[[Path, int, float], dict[str, list[Trajectory]]]
    """Makes the world in a folder, from a seed, at some share of its size: trajectories by the name of their
    file, the teacher's and those of reading lessons."""
    tiny: Mapping[str, Any]
    """Shape of the policy, as `build_tiny` takes it."""

    def before(self, stage: str) -> str | None:
        """The stage whose policy this one begins with; None begins with random weights."""
        stages = list(self.steps)
        place = stages.index(stage)
        return stages[place - 1] if place else None

    def learns_to_act(self, stage: str) -> bool:
        """Whether it is no reading lesson, so that validation has something to ask."""
        stages = list(self.steps)
        return stages.index(stage) >= stages.index(self.examined[0])


def make_world(
    folder: Path, clips: int, held_out: int, settings: ScriptSettings, seed: int, **questions: Any
) -> WorldFiles:
    """A world with open questions, `held_out` clips of it kept from training; a bar shows how far it is."""
    held_out = min(held_out, clips // 2)
    with tqdm(total=clips + held_out, desc="rendering clips", unit="clip") as bar:
        return build_world(
            folder,
            clips + held_out,
            settings,
            open_share=1.0,
            seed=seed,
            held_out=held_out,
            progress=lambda done, _: bar.update(done - bar.n),
            **questions,
        )


PLANNER_MISTAKES: tuple[Mistake, ...] = ("guess", "thin", "flood", "flood", "elsewhere", "blurred")


def _planner_lessons(world: Path, seed: int, share: float) -> dict[str, list[Trajectory]]:
    """Clips of a minute or two, the colour or the fine pattern at some second."""
    clips = max(4, round(100 * share))
    settings = ScriptSettings(duration=(60, 120), height=112, width=112)
    files = make_world(world, clips, 16, settings, seed, families=("colour_at", "mark_at"), per_family=8)
    dialect = default_dialect(seconds=True)
    teacher = SloppyTeacher(files.scripts, files.tasks, dialect, seed, rate=0.6, mistakes=PLANNER_MISTAKES)
    made = teach("teacher", teacher, files.tasks, 1, dialect, seed)
    lessons = list(captions(files.scripts[:clips], world, seed, traits=("background", "mark")))
    return {"sloppy": made, "captions": lessons}


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

GROUNDING = AgentConfig(
    dialect=VitalDialect(decimals=0, explain_tools=False),
    tools=[ClipFrames(fps=1, frames=10, frame_tokens=1)],
    overview=Overview(frames=8, frame_tokens=1),
)
"""VITAL's agent, small: as in configs/demo/vital/collect.yaml, but for its limits."""

SLIPS: tuple[Slip, ...] = ("guess", "wide", "narrow", "elsewhere", "elsewhere", "elsewhere")


def grounding_world(world: Path, seed: int, share: float) -> tuple[WorldFiles, int]:
    """Clips of 3 to 10 minutes in scenes of 70 to 150 s, from when to when a background is shown.

    And how many of the clips are for training. The overview shows every scene, and no border.
    """
    clips = max(4, round(60 * share))
    settings = ScriptSettings(
        duration=(180, 600), event=(70, 150), fps=1, gop=1, height=112, width=112, cues=0.0
    )
    subjects = (("background",),)
    files = make_world(world, clips, 24, settings, seed, families=("when",), subjects=subjects, per_family=8)
    return files, clips


def _grounding_lessons(world: Path, seed: int, share: float) -> dict[str, list[Trajectory]]:
    files, clips = grounding_world(world, seed, share)
    dialect = GROUNDING.dialect
    assert dialect is not None
    teacher = SloppyGrounder(files.scripts, files.tasks, dialect, seed, rate=0.6, slips=SLIPS)
    made = teach("teacher", teacher, files.tasks, 4, GROUNDING, seed)
    rows = max(64, round(8000 * share))
    train = files.scripts[:clips]
    return {
        "sloppy": made,
        "strips": list(strips(train, world, dialect, rows, seed)),
        "asked_strips": list(strips(train, world, dialect, rows, seed + 1, frames=(7, 10), asked=True)),
    }


GROUNDER = Course(
    configs="demo/vital",
    steps={"warmup": 700, "reading": 600, "sft": 150, "dgrpo": 16},
    reads={
        "warmup": "trajectories=world/strips.jsonl",
        "reading": "trajectories=world/asked_strips.jsonl",
        "sft": "trajectories=world/sloppy.jsonl",
        "dgrpo": "tasks=world",
    },
    examined=("sft", "dgrpo"),
    questions=60,
    agent=("--config", "demo/vital/collect.yaml"),
    prepare=_grounding_lessons,
    tiny={"hidden": 128, "layers": 3, "vocab": 420, "numbers": 600},
)
"""VITAL's: it sees an overview, looks closer once, and says from when to when."""

COURSES = {"eva": PLANNER, "vital": GROUNDER}
