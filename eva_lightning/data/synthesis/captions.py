"""Single frames with what can be read from them: the reading lesson that comes before the acting.

A tiny policy that has never seen a picture does not learn to read from agent trajectories, where one word of
sixty says what a frame shows. Each caption is a trajectory of one turn, so that SFT trains on it as on
anything else.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from eva_lightning.data.synthesis.reading import SHAPE_SIDE, readable
from eva_lightning.data.synthesis.script import Script
from eva_lightning.records import PATCH, Clip, FrameRef, Message, Task, Trajectory, Turn
from eva_lightning.video.sampling import snap

Trait = Literal["background", "shape", "mark"]


def captions(
    scripts: Sequence[Script],
    folder: str | Path,
    seed: int = 0,
    traits: Sequence[Trait] = ("background", "shape", "mark"),
) -> Iterator[Trajectory]:
    """A caption for every event at each size that shows one more of the traits, coarse to fine."""
    dice = random.Random(f"captions/{seed}")
    for script in scripts:
        clip = Clip(id=script.id, path=str(Path(folder) / "clips" / f"{script.id}.mp4"))
        task = Task(id=f"caption/{script.id}", source="captions", clips=(clip,), question="What is shown?")
        for event in script.events:
            for side in _sides(script, traits):
                height, width = snap(script.height, script.width, side / min(script.height, script.width))
                second = dice.choice(event.moments)
                frame = FrameRef(clip=script.id, time=float(second), height=height, width=width)
                prompt = Message(role="user", parts=(f"\nFrame 0 at {second} seconds:", frame))
                words = _words(script, frame, traits)
                yield Trajectory(
                    task=task, prompt=(prompt,), turns=[Turn(text=words)], stop="answered", answer=words
                )


def _sides(script: Script, traits: Sequence[Trait]) -> list[int]:
    """Shorter sides of the frames, in pixels."""
    native = min(script.height, script.width)
    needed = {"background": PATCH, "shape": SHAPE_SIDE, "mark": native}
    return [needed[trait] for trait in traits]


def _words(script: Script, frame: FrameRef, traits: Sequence[Trait]) -> str:
    """The traits that a frame of this size shows."""
    scene = script.at(frame.time).see
    shown = {"background": scene.background, "shape": f"{scene.ink} {scene.shape}", "mark": scene.mark}
    return " ".join(shown[trait] for trait in traits if readable(trait, frame, script))
