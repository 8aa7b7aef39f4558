"""The searcher: EVA's agent in a world where one look does not answer."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from eva_lightning.agent.config import AgentConfig, default_dialect
from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.rollout import Limits
from eva_lightning.commands.courses.course import Course, make_world
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.listings import listings, plates
from eva_lightning.data.synthesis.parts import lessons
from eva_lightning.data.synthesis.script import Script, ScriptSettings
from eva_lightning.data.synthesis.sloppy_searcher import SearchMistake, SloppySearcher
from eva_lightning.data.synthesis.world import WorldFiles
from eva_lightning.files.store import located
from eva_lightning.records import Task, Trajectory
from eva_lightning.scoring import score

SEARCHED = ("plate_while", "right_after")
"""Families of questions that take two looks or more."""

LIMITS = Limits(turns=5, turn_tokens=144, total_tokens=2048)
"""As in the configs of its stages."""

OPEN = 0.5
"""Share of the questions that have no options."""

LONG = 0.8
"""Share of its clip that a part has in rehearsals, at least: late seconds of whole clips are hard to read."""

CLIPS, HELD_OUT = 180, 16
"""So many clips have questions for 90 iterations of GRPO, each asked once."""

FLOOD, FLOODED = 3, 0.15
"""How many times too many frames, and how often in rehearsals."""

MISTAKES: tuple[SearchMistake, ...] = (
    *("flood",) * 5,
    *("elsewhere",) * 3,
    "guess",
    "blurred",
    "hasty",
)
"""What the teacher does wrong, as often as it is named: mostly far too many frames."""


@dataclass(frozen=True, kw_only=True)
class Kit:
    """By what means a search is done, and who teaches it."""

    agent: AgentConfig = field(
        default_factory=lambda: AgentConfig(dialect=default_dialect(seconds=True), limits=LIMITS)
    )
    """The agent's means."""
    sloppy: type[SloppySearcher] = SloppySearcher
    """Who teaches it; without mistakes, in rehearsals."""
    mistakes: tuple[SearchMistake, ...] = MISTAKES
    """How."""

    @property
    def dialect(self) -> Dialect:
        assert self.agent.dialect is not None
        return self.agent.dialect


def rehearsals(kit: Kit, scripts: Sequence[Script], world: Path, seed: int, count: int) -> list[Trajectory]:
    """A teacher who never errs, on parts of the clips: hardly two show the same.

    Too many frames now and then are in it: who has never read a long row does not learn it from slips.
    """
    shortest = min(script.shortest for script in scripts)  # the first and the last event of a part are cut
    pairs: list[tuple[Script, Task]] = []
    for place, family in enumerate(SEARCHED):
        of_one = lessons(
            scripts,
            seed + place,
            count // 2,
            (60, 240),
            least=LONG,
            open_share=OPEN,
            families=(family,),
            per_family=9,
        )
        pairs += [(part, replace(task, id=f"{family}/{task.id}")) for part, task in of_one]
    tasks = [located(task, world) for _, task in pairs]
    floods = tuple(one for one in kit.mistakes if one == "flood")
    pieces = [part for part, _ in pairs]
    teacher = kit.sloppy(
        pieces, tasks, kit.dialect, seed, rate=FLOODED, mistakes=floods, flood=FLOOD, shortest=shortest
    )
    made = teach("rehearsals", teacher, tasks, 1, kit.agent, seed, told=[*scripts, *pieces])
    if kit.agent.tools != []:  # what is left of a scene at the end of a part may be too short to be seen
        made = [one for one in made if score(one.task, one.answer).correct]
    return random.Random(f"searcher rehearsals/{seed}").sample(made, len(made))


def attempts(kit: Kit, files: WorldFiles, seed: int) -> list[Trajectory]:
    """Those of the teacher who slips, one at each question."""
    teacher = kit.sloppy(
        files.scripts, files.tasks, kit.dialect, seed, rate=0.7, mistakes=kit.mistakes, flood=FLOOD
    )
    return teach("teacher", teacher, files.tasks, 1, kit.agent, seed, told=files.scripts)


def _searcher_lessons(world: Path, seed: int, share: float) -> dict[str, list[Trajectory]]:
    """Clips of three or four minutes; a scan tells where to look, and a closer look what is there."""
    clips = max(4, round(CLIPS * share))
    settings = ScriptSettings(
        duration=(150, 240), event=(12, 24), fps=1, gop=1, height=112, width=112, cues=0.0
    )
    files = make_world(world, clips, HELD_OUT, settings, seed, OPEN, families=SEARCHED, per_family=8)
    kit, train, many = Kit(), files.scripts[:clips], max(64, round(8000 * share))
    dice = random.Random(f"searcher lessons/{seed}")

    def mixed(rows: Iterable[Trajectory], plates: Iterable[Trajectory]) -> list[Trajectory]:
        both = [*rows, *plates]
        return dice.sample(both, len(both))

    return {
        "sloppy": attempts(kit, files, seed),
        "rehearsals": rehearsals(kit, train, world, seed, max(64, round(6000 * share))),
        "short_rows": mixed(
            listings(train, world, kit.dialect, many, seed, frames=(1, 5), asked=True),
            plates(train, world, kit.dialect, many // 5, seed),
        ),
        "rows": mixed(
            listings(train, world, kit.dialect, 2 * many, seed + 1, frames=(2, 12), asked=True),
            plates(train, world, kit.dialect, many // 5, seed + 1),
        ),
    }


SEARCHER = Course(
    configs="demo/search",
    steps={"warmup": 400, "reading": 1000, "rehearsal": 1000, "sft": 60, "kto": 40, "grpo": 80},
    reads={
        "warmup": "trajectories=world/short_rows.jsonl",
        "reading": "trajectories=world/rows.jsonl",
        "rehearsal": "trajectories=world/rehearsals.jsonl",
        "sft": "trajectories=world/sloppy.jsonl",
        "kto": "trajectories=feedback.jsonl",
        "grpo": "tasks=world",
    },
    examined=("sft", "kto", "grpo"),
    questions=100,
    agent=("--agent.limits.turns=5", "--agent.limits.turn_tokens=144", "--agent.limits.total_tokens=2048"),
    prepare=_searcher_lessons,
    # Enough tokens that an answer is one of them: spelled in two or three, "green" and "red" were mixed.
    tiny={"hidden": 128, "layers": 3, "vocab": 768, "numbers": 300, "likeness": 0.7},
)
"""EVA's, in a world where one look does not answer."""
