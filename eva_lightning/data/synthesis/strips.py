"""Strips: rows of labelled frames with when each background is shown, the reading lesson before grounding.

What agent trajectories teach least is which of ten frames shows a colour and what ITS time is: one number of
eighty tokens. Here each row tells that of every colour in it, in the form in which the teachers of
`grounding.py` think. Rows of one frame are captions: who can not name a colour can not find it either.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.worlds.base import Glimpse
from eva_lightning.data.synthesis.families import named
from eva_lightning.data.synthesis.grounding import all_bounds
from eva_lightning.data.synthesis.script import Script
from eva_lightning.records import PATCH, Clip, FrameRef, Message, Task, Trajectory, Turn
from eva_lightning.video.sampling import spread

MARKS = 120
"""Seconds of each clip of which rows are made: a frame is decoded once and shown in many rows."""


def strips(
    scripts: Sequence[Script],
    folder: str | Path,
    dialect: Dialect,
    count: int,
    seed: int = 0,
    frames: tuple[int, int] = (1, 10),
    asked: bool = False,
) -> Iterator[Trajectory]:
    """`count` rows of between so many frames of one visual token each, about evenly apart.

    The colours are told in the order in which they are seen; with `asked` in any order, and the row ends with
    a question that names them in it.
    """
    dice = random.Random(f"strips/{seed}")
    marks = [sorted(dice.sample(range(script.duration), min(MARKS, script.duration))) for script in scripts]
    number = 0
    while number < count:
        place, many = dice.randrange(len(scripts)), dice.randint(*frames)
        begin, end = sorted(dice.choices(range(len(marks[place])), k=2))
        if end - begin + 1 < many:
            continue
        times = [float(marks[place][round(mark)]) for mark in spread(begin, end, many)]
        row = _row(scripts[place], times, f"strip/{number}", folder, dialect, dice, asked)
        if row is not None:
            number += 1
            yield row


def _row(
    script: Script,
    times: Sequence[float],
    name: str,
    folder: str | Path,
    dialect: Dialect,
    dice: random.Random,
    asked: bool,
) -> Trajectory | None:
    """Frames and their bounds; None if each colour is shown in two stretches."""
    frames = [FrameRef(clip=script.id, time=time, height=PATCH, width=PATCH) for time in times]
    bounds = all_bounds(frames, script, times[-1])
    if not bounds:
        return None
    clip = Clip(id=script.id, path=str(Path(folder) / "clips" / f"{script.id}.mp4"))
    task = Task(id=name, source="strips", clips=(clip,), question="What is shown when?")
    shown = Findings(glimpses=tuple(Glimpse(time=frame.time, content=frame) for frame in frames))
    told = dice.sample(bounds, len(bounds)) if asked else bounds
    names = ", ".join(named({"background": one.colour}) for one in told)
    question = (f"When is {names} shown?",) if asked else ()
    prompt = Message(role="user", parts=(*dialect.observation(task, [shown], ()), *question))
    words = ", ".join(one.words for one in told)
    return Trajectory(task=task, prompt=(prompt,), turns=[Turn(text=words)], stop="answered", answer=words)
