"""A course: a kind of agent to teach, stage by stage, as data, and the function that makes its lessons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import (
    WorldFiles,
    build_world,
)
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
    """Words for `eva collect` that say what the agent is made of; {world} is the folder of its world."""
    prepare: Callable[[Path, int, float], dict[str, list[Trajectory]]]
    """Makes the world in a folder, from a seed, at some share of its size: trajectories by the name of their
    file, the teacher's and those of reading lessons."""
    tiny: Mapping[str, Any]
    """Shape of the policy, as `build_tiny` takes it."""
    fit: tuple[str, ...] = ()
    """Words for each `eva fit`; {world} is the folder of its world."""

    marks: tuple[str, ...] = ("--rules.density.few=8",)
    """Words for `eva label`: so many frames of one visual token each are no waste."""

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
    folder: Path,
    clips: int,
    held_out: int,
    settings: ScriptSettings,
    seed: int,
    open_share: float = 1.0,
    **questions: Any,
) -> WorldFiles:
    """A world of which `held_out` clips are kept from training; a bar shows how far it is."""
    held_out = min(held_out, clips // 2)
    with tqdm(total=clips + held_out, desc="rendering clips", unit="clip") as bar:
        return build_world(
            folder,
            clips + held_out,
            settings,
            open_share=open_share,
            seed=seed,
            held_out=held_out,
            progress=lambda done, _: bar.update(done - bar.n),
            **questions,
        )
