"""The questioner: AgentCVR's master, which asks about two clips in a world of words."""

from __future__ import annotations

from pathlib import Path

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.rollout import Limits
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.agent.worlds.base import World
from eva_lightning.agent.worlds.script_world import ScriptWorld
from eva_lightning.commands.courses.course import Course
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.in_words import in_words
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.data.synthesis.two_clips import WordTeacher, two_clips
from eva_lightning.data.synthesis.world import (
    HELD_OUT,
    SCRIPTS,
    TASKS,
    clip_seed,
)
from eva_lightning.files.store import write
from eva_lightning.records import Trajectory

DIALECT = ReActDialect(system="Answer in JSON.", explain_tools=False, decimals=0)
QUESTIONED = ScriptSettings(duration=(40, 90), height=112, width=112, cues=0.0)
"""Clips of which two at a time are asked about."""
WORDS = "words.jsonl"
"""File of a world with its clips in words."""


def world_of_words(world: Path) -> ScriptWorld:
    """What the master is told in its rehearsal; a look costs as much as at the videos."""
    return ScriptWorld(str(world / WORDS), fps=QUESTIONED.fps, size=(QUESTIONED.height, QUESTIONED.width))


def questioner(world: World) -> AgentConfig:
    """AgentCVR's master, small, in some world: as in configs/demo/agentcvr/."""
    limits = Limits(turns=3, turn_tokens=112, total_tokens=1024)
    return AgentConfig(dialect=DIALECT, tools=[Observe()], world=world, limits=limits)


def _questioner_lessons(world: Path, seed: int, share: float) -> dict[str, list[Trajectory]]:
    """Questions about one of two clips, all of it in words: nothing is rendered."""
    clips = max(4, round(40 * share))
    scripts = [write_script(clip_seed(seed, number), QUESTIONED) for number in range(clips + 12)]
    tasks = two_clips(scripts[:clips], max(16, round(1600 * share)), seed)
    for name, rows in (
        (SCRIPTS, scripts),
        (WORDS, [in_words(script) for script in scripts]),
        (TASKS, tasks),
        (HELD_OUT, two_clips(scripts[clips:], 100, seed + 1)),
    ):
        write(world / name, rows)
    teacher = WordTeacher(tasks, DIALECT, seed, sloppy=0.6)
    return {"sloppy": teach("teacher", teacher, tasks, 1, questioner(world_of_words(world)), seed)}


_SCRIPTS = "agent.world.init_args.scripts={world}/" + WORDS

QUESTIONER = Course(
    configs="demo/agentcvr",
    steps={"sft": 320, "grpo": 80},
    reads={"sft": "trajectories=world/sloppy.jsonl", "grpo": "tasks=world"},
    examined=("sft", "grpo"),
    questions=100,
    agent=("--config", "demo/agentcvr/collect.yaml", f"--{_SCRIPTS}"),
    fit=(f"--model.{_SCRIPTS}",),
    prepare=_questioner_lessons,
    tiny={"hidden": 64, "layers": 4, "vocab": 512, "family": "qwen3"},
)
"""AgentCVR's: it questions two videos, in words."""
