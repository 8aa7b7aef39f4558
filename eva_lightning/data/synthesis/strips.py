"""Strips: rows of labelled frames with when each background is shown, the reading lesson before grounding.

What agent trajectories teach least is which of ten frames shows a colour and what ITS time is: one number of
eighty tokens. Here each row asks for that of every colour in it, in a random order, in the form in which the
teachers of `grounding.py` think.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.worlds.base import Glimpse
from eva_lightning.data.synthesis.grounding import all_bounds
from eva_lightning.data.synthesis.script import Script
from eva_lightning.records import PATCH, Clip, FrameRef, Message, Task, Trajectory, Turn
from eva_lightning.video.sampling import spread

WINDOWS = 12
"""Windows of each clip, its whole among them, of which rows are cut: frames are decoded once, shown often."""


def strips(
    scripts: Sequence[Script],
    folder: str | Path,
    dialect: Dialect,
    count: int,
    seed: int = 0,
    frames: tuple[int, int] = (2, 10),
) -> Iterator[Trajectory]:
    """`count` rows of between so many frames of one visual token each."""
    dice = random.Random(f"strips/{seed}")
    windows = [(script, times) for script in scripts for times in _windows(script, frames[1], dice)]
    number = 0
    while number < count:
        script, times = dice.choice(windows)
        many = dice.randint(*frames)
        begin = dice.randint(0, len(times) - many)
        row = _row(script, times[begin : begin + many], f"strip/{number}", folder, dialect, dice)
        if row is not None:
            number += 1
            yield row


def _windows(script: Script, frames: int, dice: random.Random) -> Iterator[tuple[float, ...]]:
    """Whole seconds, evenly spread over the clip and over parts of it."""
    ranges = [(0, script.told)]
    while len(ranges) < WINDOWS:
        start = dice.randrange(script.told - 2 * frames)
        ranges.append((start, dice.randint(start + 2 * frames, script.told)))
    for start, end in ranges:
        yield tuple(float(int(time + 0.05)) for time in spread(start, end, frames))


def _row(
    script: Script,
    times: Sequence[float],
    name: str,
    folder: str | Path,
    dialect: Dialect,
    dice: random.Random,
) -> Trajectory | None:
    """Frames and their bounds in a random order; None if each colour is shown in two stretches."""
    frames = [FrameRef(clip=script.id, time=time, height=PATCH, width=PATCH) for time in times]
    bounds = all_bounds(frames, script, times[-1])
    if not bounds:
        return None
    clip = Clip(id=script.id, path=str(Path(folder) / "clips" / f"{script.id}.mp4"))
    task = Task(id=name, source="strips", clips=(clip,), question="What is shown when?")
    shown = Findings(glimpses=tuple(Glimpse(time=frame.time, content=frame) for frame in frames))
    prompt = Message(role="user", parts=dialect.observation(task, [shown], ()))
    words = ", ".join(one.words for one in dice.sample(bounds, len(bounds)))
    return Trajectory(task=task, prompt=(prompt,), turns=[Turn(text=words)], stop="answered", answer=words)
