"""Kits: the searcher's questions, answered by other means than a plan and EVA's four arguments.

Each is a course that begins where the searcher's rehearsals end, in its world: the same clips, questions and
words about frames. It rehearses some more by its own means. What differs is what the agent is shown before it
acts, and what it can ask for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eva_lightning.agent.config import AgentConfig, default_dialect
from eva_lightning.agent.overview import Overview
from eva_lightning.agent.tools.base import Tool
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.commands.courses.course import Course
from eva_lightning.commands.courses.searcher import LIMITS, SEARCHER, Kit, attempts, rehearsals
from eva_lightning.data.synthesis.reading import Insight
from eva_lightning.data.synthesis.script import Script
from eva_lightning.data.synthesis.searcher import Searcher
from eva_lightning.data.synthesis.sloppy_searcher import SloppySearcher
from eva_lightning.data.synthesis.teachers import PlannedLook
from eva_lightning.data.synthesis.world import load_world
from eva_lightning.records import FrameRef, Task, Trajectory

LARGE = 9
"""Visual tokens of a frame in which everything can be read: 84 by 84 pixels of 112."""

WINDOW: dict[str, Any] = {
    "fps": 1,
    "frames": 12,
    "frame_tokens": LARGE,
    "longer_than": 0,
    "outside": "clamp",
    "calls": LIMITS.turns - 1,
}
"""Settings of the tool that shows a window, as often as one likes."""


class Windowed(Searcher):
    """Says from when to when, and nothing else: how many frames it gets, and of what size, is fixed."""

    def plan(self, found: Insight | None, look: PlannedLook) -> str:
        return "the whole video" if found is None else "what lies in between"

    def call(self, look: PlannedLook) -> str:
        return self.dialect.call(ClipFrames.name, start_time=look.start, end_time=look.end)


class Passive(Searcher):
    """Can not look, and answers by what it was shown."""

    def next_search(self, task: Task, script: Script, frames: Sequence[FrameRef]) -> PlannedLook | None:
        return None


class SloppyWindowed(Windowed, SloppySearcher):
    """The same, with the searcher's mistakes."""


class SloppyPassive(Passive, SloppySearcher):
    """The same; all that it can do wrong is to guess."""


def _agent(overview: Overview | None = None, tools: list[Tool] | None = None) -> AgentConfig:
    return AgentConfig(dialect=default_dialect(seconds=True), limits=LIMITS, overview=overview, tools=tools)


REHEARSAL = 200
"""Steps of rehearsals with the kit, beside those that all have had without."""

OVERVIEW_TOKENS = 4
"""Visual tokens of a frame of an overview: nobody has chosen how large it is."""

KITS: Mapping[str, Kit] = {
    "overview_8": Kit(agent=_agent(Overview(frames=8, frame_tokens=OVERVIEW_TOKENS))),
    "overview_32": Kit(agent=_agent(Overview(frames=32, frame_tokens=OVERVIEW_TOKENS))),
    "window": Kit(
        agent=_agent(tools=[ClipFrames(**WINDOW)]),
        sloppy=SloppyWindowed,
        mistakes=("elsewhere", "elsewhere", "guess", "hasty"),
    ),
    "uniform": Kit(
        agent=_agent(Overview(frames=12, frame_tokens=LARGE), tools=[]),
        sloppy=SloppyPassive,
        mistakes=("guess",),
    ),
}
"""By name."""


def _words(kit: Kit, before: str) -> tuple[str, ...]:
    """What makes an agent of this kit, for a command."""
    said = []
    if kit.agent.overview is not None:
        shown = kit.agent.overview
        settings = {"frames": shown.frames, "frame_tokens": shown.frame_tokens}
        said.append(f"--{before}overview={json.dumps(settings)}")
    if kit.agent.tools is not None:
        tools = [{"class_path": type(tool).__name__, "init_args": WINDOW} for tool in kit.agent.tools]
        said.append(f"--{before}tools={json.dumps(tools)}")
    return tuple(said)


def course_of(name: str) -> Course:
    """The searcher's course with such a kit: whole searches without a slip, SFT on slips, GRPO."""
    kit = KITS[name]

    def prepare(world: Path, seed: int, share: float) -> dict[str, list[Trajectory]]:
        files = load_world(world)
        count = max(64, round(3000 * share))
        return {
            f"{name}_rehearsals": rehearsals(kit, files.trained_on, world, seed, count),
            f"{name}_sloppy": attempts(kit, files, seed),
        }

    return replace(
        SEARCHER,
        steps={"rehearsal": REHEARSAL, **{stage: SEARCHER.steps[stage] for stage in ("sft", "grpo")}},
        reads={
            "rehearsal": f"trajectories=world/{name}_rehearsals.jsonl",
            "sft": f"trajectories=world/{name}_sloppy.jsonl",
            "grpo": SEARCHER.reads["grpo"],
        },
        examined=("sft", "grpo"),
        agent=(*SEARCHER.agent, *_words(kit, "agent.")),
        fit=_words(kit, "model.agent."),
        prepare=prepare,
    )
