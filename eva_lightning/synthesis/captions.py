"""Single frames with what can be read from them: the reading lesson that comes before the acting.

A tiny policy that has never seen a picture does not learn to read from agent trajectories, where one word of
sixty says what a frame shows. Each caption is a trajectory of one turn, so that SFT trains on it as on
anything else.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from eva_lightning.records import PATCH, Clip, FrameRef, Message, Task, Trajectory, Turn
from eva_lightning.synthesis.reading import SHAPE_SIDE, readable
from eva_lightning.synthesis.script import Script
from eva_lightning.video.sampling import snap


def captions(scripts: Sequence[Script], folder: str | Path, seed: int = 0) -> Iterator[Trajectory]:
    """A caption for every event at each of three sizes: the background, the shape with it, and all of it."""
    dice = random.Random(f"captions/{seed}")
    for script in scripts:
        clip = Clip(id=script.id, path=str(Path(folder) / "clips" / f"{script.id}.mp4"))
        task = Task(id=f"caption/{script.id}", source="captions", clips=(clip,), question="What is shown?")
        for event in script.events:
            for side in (PATCH, SHAPE_SIDE, min(script.height, script.width)):
                height, width = snap(script.height, script.width, side / min(script.height, script.width))
                second = dice.choice(event.moments)
                frame = FrameRef(clip=script.id, time=float(second), height=height, width=width)
                prompt = Message(role="user", parts=(f"\nFrame 0 at {second} seconds:", frame))
                words = _words(script, frame)
                yield Trajectory(
                    task=task, prompt=(prompt,), turns=[Turn(text=words)], stop="answered", answer=words
                )


def _words(script: Script, frame: FrameRef) -> str:
    """The traits that a frame of this size shows."""
    scene = script.at(frame.time).see
    words = [str(scene.background)]
    if readable("shape", frame, script):
        words.append(f"{scene.ink} {scene.shape}")
    if readable("mark", frame, script):
        words.append(str(scene.mark))
    return " ".join(words)
