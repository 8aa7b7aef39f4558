"""Strips: rows of labelled frames read one by one, and where a colour is: the lesson before grounding.

What agent trajectories teach least is which of ten frames shows a colour and what ITS time is: one number of
eighty tokens. Each row here is read and answered as the teachers of `grounding.py` think. Rows of one frame
are captions: who can not name a colour can not find it either.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.worlds.base import Glimpse
from eva_lightning.data.synthesis.families import named
from eva_lightning.data.synthesis.grounding import all_bounds, read_row
from eva_lightning.data.synthesis.script import Script
from eva_lightning.records import PATCH, Clip, FrameRef, Message, Task, Trajectory, Turn
from eva_lightning.video.sampling import spread

MARKS = 120
"""Seconds of each clip of which rows are made: a frame is decoded once and shown in many rows."""

APART = 3
"""Seconds between two frames of a row, at least: no look of a teacher has them closer."""


def strips(
    scripts: Sequence[Script],
    folder: str | Path,
    dialect: Dialect,
    count: int,
    seed: int = 0,
    frames: tuple[int, int] = (1, 10),
) -> Iterator[Trajectory]:
    """`count` rows of between so many frames of one visual token each, about evenly apart.

    Each ends with a question about one of its colours.
    """
    dice = random.Random(f"strips/{seed}")
    number = 0
    for script, times in rows(scripts, dice, frames):
        if number == count:
            return
        row = _row(script, times, f"strip/{number}", folder, dialect, dice)
        if row is not None:
            number += 1
            yield row


def rows(
    scripts: Sequence[Script], dice: random.Random, frames: tuple[int, int]
) -> Iterator[tuple[Script, list[float]]]:
    """A clip and seconds of it, about evenly apart, without end."""
    marks = [sorted(dice.sample(range(script.duration), min(MARKS, script.duration))) for script in scripts]
    while True:
        place, many = dice.randrange(len(scripts)), dice.randint(*frames)
        begin, end = sorted(dice.choices(range(len(marks[place])), k=2))
        times = [float(marks[place][round(mark)]) for mark in spread(begin, end, many)]
        if all(later - earlier >= APART for earlier, later in pairwise(times)):
            yield scripts[place], times


def _row(
    script: Script,
    times: Sequence[float],
    name: str,
    folder: str | Path,
    dialect: Dialect,
    dice: random.Random,
) -> Trajectory | None:
    """Frames, a question and its thought; None if each colour is shown in two stretches, or all are alike."""
    frames = [FrameRef(clip=script.id, time=time, height=PATCH, width=PATCH) for time in times]
    bounds = all_bounds(frames, script, times[-1])
    alike = bounds and (bounds[0].first, bounds[0].last) == (round(times[0]), round(times[-1]))
    if not bounds or (alike and len(times) > 1):
        return None
    asked = dice.choice(bounds)
    clip = Clip(id=script.id, path=str(Path(folder) / "clips" / f"{script.id}.mp4"))
    question = f"When is {named({'background': asked.colour})} shown?"
    task = Task(id=name, source="strips", clips=(clip,), question=question)
    shown = Findings(glimpses=tuple(Glimpse(time=frame.time, content=frame) for frame in frames))
    prompt = Message(role="user", parts=(*dialect.observation(task, [shown], ()), question))
    words = f"{read_row(frames, script, asked.colour)}: {asked.words}"
    return Trajectory(task=task, prompt=(prompt,), turns=[Turn(text=words)], stop="answered", answer=words)
