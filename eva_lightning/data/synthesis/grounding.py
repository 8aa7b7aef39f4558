"""Grounding: teachers of an agent that sees an overview, looks into one range, and says from when to when.

They play `when` questions about backgrounds. Each thought first reads the newest frames one by one and marks
where the colour of the question begins and where it is over; then it says that in one form: "red from 61 to
122 after 46" is the first frame that shows red, the first one past it, and the last one before it. A tiny
policy learns to read a row of labelled frames, to find the marks in what it wrote, and to copy the numbers
beside them into a call or an answer; it could not learn to compute. The good teacher looks from the last
frame before to the first one past; its bad sibling looks in the wrong place, or not closely, and is as sure.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.data.synthesis.script import Script
from eva_lightning.data.synthesis.teachers import Oracle
from eva_lightning.engines.base import Context
from eva_lightning.records import FrameRef, Task

CLIP = ClipFrames.name
"""The tool by which they look closer."""

Slip = Literal["guess", "wide", "narrow", "elsewhere"]
"""Answers by the overview's times | looks at the whole video again | only between frames that showed it, so
that both borders lie outside | where it is not shown."""

SLIPS: tuple[Slip, ...] = get_args(Slip)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Where something is shown, by labelled frames: whole seconds."""

    colour: str
    """The background."""
    first: int
    """The first frame that shows it."""
    last: int
    """The last frame that shows it."""
    past: int
    """The first frame after these, or the end of what was looked at."""
    before: int
    """The last frame before it, or the begin of what was looked at."""

    @property
    def words(self) -> str:
        return f"{self.colour} from {self.first} to {self.past} after {self.before}"


def read_row(frames: Iterable[FrameRef], script: Script, asked: str) -> str:
    """What labelled frames show, one by one; where the asked background begins it says from, past its end to.

    For frames at 0, 40 and 80 and "red": "0 blue 40 red from 80 cyan to".
    """
    words: list[str] = []
    here = False
    for frame in frames:
        colour = script.at(frame.time).see.background
        words += [str(round(frame.time)), colour]
        if here != (colour == asked):
            here = not here
            words.append("from" if here else "to")
    return " ".join(words)


def all_bounds(frames: Sequence[FrameRef], script: Script, end: float) -> list[Bounds]:
    """The bounds of every background that these frames show in one stretch, in order.

    `end` is where what was looked at ends.
    """
    runs: list[tuple[str, list[int]]] = []
    for frame in frames:
        colour = script.at(frame.time).see.background
        if not runs or runs[-1][0] != colour:
            runs.append((colour, []))
        runs[-1][1].append(round(frame.time))
    begins = [times[0] for _, times in runs] + [round(end)]
    colours = [colour for colour, _ in runs]
    return [
        Bounds(
            colour=colour,
            first=times[0],
            last=times[-1],
            past=begins[place + 1],
            before=runs[place - 1][1][-1] if place else times[0],
        )
        for place, (colour, times) in enumerate(runs)
        if colours.count(colour) == 1
    ]


class Grounder(Oracle):
    """Looks once, from the last frame before to the first one past, and answers by what it sees there."""

    def __init__(
        self, scripts: Iterable[Script], tasks: Iterable[Task], dialect: Dialect, *, tool: bool = True
    ) -> None:
        """`tool` is whether it can look closer; without, it answers by the overview."""
        super().__init__(scripts, tasks, dialect)
        self.tool = tool

    def __call__(self, context: Context) -> str:
        task, script, said = self.place(context)
        found, words = self.seen(context, task, script)
        if said or not self.tool:
            return self.close(found.first, found.past, words)
        return self.look(found.before, found.past, words)

    def seen(self, context: Context, task: Task, script: Script) -> tuple[Bounds, str]:
        """What the newest frames tell, and the thought; where they do not show it, all that was looked at."""
        newest = max(place for place, message in enumerate(context.messages) if message.frames)
        frames = context.messages[newest].frames
        asked = self.dialect.parse(context.messages[newest - 1].text).calls
        end = round(float(str(asked[0].arguments["end_time"]))) if asked else script.told
        colour = task.extra["look_for"][0]["background"]
        row = read_row(frames, script, colour)
        for found in all_bounds(frames, script, end):
            if found.colour == colour:
                return found, f"{row}: {found.words}"
        start = round(frames[0].time)
        nowhere = Bounds(colour=colour, first=start, last=end, past=end, before=start)
        return nowhere, f"{row}: {colour} nowhere from {start} to {end}"

    def look(self, start: int, end: int, words: str) -> str:
        """A turn that calls."""
        return f"<think>{words}</think>{self.dialect.call(CLIP, start_time=start, end_time=end)}"

    def close(self, start: int, end: int, words: str) -> str:
        """The last turn."""
        return f"<think>{words}</think>{self.dialect.reply(f'{start} to {end}')}"


class SloppyGrounder(Grounder):
    """Slips in `rate` of its attempts, and is the good one in the others."""

    def __init__(
        self,
        scripts: Iterable[Script],
        tasks: Iterable[Task],
        dialect: Dialect,
        seed: int,
        *,
        rate: float = 0.7,
        slips: Sequence[Slip] = SLIPS,
    ) -> None:
        """`slips` are those that it makes, each as often as it is named."""
        super().__init__(scripts, tasks, dialect)
        if not 0 <= rate <= 1:
            raise ValueError(f"a rate of {rate}: want a share between 0 and 1")
        self.seed, self.rate, self.slips = seed, rate, tuple(slips)

    def __call__(self, context: Context) -> str:
        task, script, said = self.place(context)
        dice = random.Random(f"sloppy grounder/{self.seed}/{context.task_id}/{context.place}")
        slip = dice.choice(self.slips) if dice.random() < self.rate else None
        if said or slip is None:
            return super().__call__(context)
        found, words = self.seen(context, task, script)
        if slip == "guess":
            return self.close(found.first, found.past, words)
        if slip == "wide":
            return self.look(0, script.told, words)
        if slip == "narrow" and found.last > found.first:
            return self.look(found.first, found.last, words)
        frames = context.frames
        others = [one for one in all_bounds(frames, script, script.told) if one.colour != found.colour]
        wrong = dice.choice(others) if others else replace(found, first=0, past=script.told)
        return self.look(wrong.first, wrong.past, words)
