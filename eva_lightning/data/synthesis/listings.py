"""Listings: rows of labelled frames with what the searcher says of them, the reading lesson before a search.

What trajectories of a search teach least is which of twelve frames shows a colour and what its time is. Here
each row is read as the searcher reads it (`search_reading.py`), in the form of the tool message that it would
stand in. `plates` are the other half: one large frame, its background, and the pattern on its plate. Where
that decides a question, the lesson goes on to the answer. Half of these have options, named in words. `signs`
are small frames at a signpost, and the second that they mean.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.worlds.base import Glimpse
from eva_lightning.data.synthesis.families import OPTIONS
from eva_lightning.data.synthesis.reading import Sight
from eva_lightning.data.synthesis.script import BACKGROUNDS, MARKS, Script
from eva_lightning.data.synthesis.search_reading import followed, glances, listed, where
from eva_lightning.data.synthesis.searches import (
    ROADS,
    SCAN,
    after_question,
    plate_question,
    signpost_question,
)
from eva_lightning.data.synthesis.strips import rows
from eva_lightning.records import PATCH, Clip, FrameRef, Message, Task, Trajectory, Turn

SHOWN = 0.8
"""Share of the asked rows in which the background of the question is shown."""

CLOSE = 4
"""Frames of a closer look, at most: what follows a background in it is the answer."""


def listings(
    scripts: Sequence[Script],
    folder: str | Path,
    dialect: Dialect,
    count: int,
    seed: int = 0,
    frames: tuple[int, int] = (1, SCAN),
    asked: bool = False,
) -> Iterator[Trajectory]:
    """`count` rows of between so many frames of one visual token each, about evenly apart.

    With `asked` the message ends with a question about a background, and the row with when that is first
    seen, and perhaps with what is seen once it is over; of a few frames that is the answer.
    """
    dice = random.Random(f"listings/{seed}")
    for number, (script, times) in enumerate(islice(rows(scripts, dice, frames), count)):
        shown = [FrameRef(clip=script.id, time=time, height=PATCH, width=PATCH) for time in times]
        seen = glances(shown, script)
        said, question, value = _about(seen, dice) if asked else (listed(seen), "What is shown when?", None)
        answer = value if len(shown) <= CLOSE else None
        options = _options(answer, BACKGROUNDS, dice) if answer else ()
        task = _task(f"listing/{number}", script, folder, question, options)
        yield _read(task, dialect, shown, said, answer)


def _about(seen: Sequence[Sight], dice: random.Random) -> tuple[str, str, str | None]:
    """What a searcher says of a row who was asked about a background, the question, and what that answers."""
    here = [sight.scene.background for sight in seen]
    other = [colour for colour in BACKGROUNDS if colour not in here]
    colour = dice.choice(here if dice.random() < SHOWN or not other else other)
    places = [place for place, shown in enumerate(here) if shown == colour]
    value = None
    once = places == list(range(places[0], places[-1] + 1)) if places else False
    if once and dice.random() < 0.5:
        after = seen[places[-1] + 1] if places[-1] + 1 < len(seen) else None
        end, question = followed(seen[places[0]], after), after_question(colour)
        value = after.scene.background if after else None
    else:
        end, question = where(colour, [seen[place] for place in places]), plate_question(colour)
    return f"{listed(seen, [colour])}; {end}", question, value


def _options(value: str, others: Sequence[str], dice: random.Random) -> tuple[str, ...]:
    """Options that hold this one, or none, as often."""
    if dice.random() < 0.5:
        return ()
    wrong = dice.sample([one for one in others if one != value], OPTIONS - 1)
    return tuple(dice.sample([value, *wrong], OPTIONS))


def plates(
    scripts: Sequence[Script], folder: str | Path, dialect: Dialect, count: int, seed: int = 0
) -> Iterator[Trajectory]:
    """`count` large frames, in turn of each clip, any second of any event of it."""
    dice = random.Random(f"plates/{seed}")
    for number in range(count):
        script = scripts[number % len(scripts)]
        event = dice.choice(script.events)
        second = dice.randrange(event.start, event.end)
        frame = FrameRef(clip=script.id, time=float(second), height=script.height, width=script.width)
        options = _options(event.see.mark, MARKS, dice)
        task = _task(f"plate/{number}", script, folder, plate_question(event.see.background), options)
        said = listed(glances([frame], script), [event.see.background])
        yield _read(task, dialect, [frame], f"{said}; {event.see.mark}", event.see.mark)


def signs(
    scripts: Sequence[Script], folder: str | Path, dialect: Dialect, count: int, seed: int = 0
) -> Iterator[Trajectory]:
    """`count` small frames at signposts, in turn of each clip: the second that their background means."""
    dice = random.Random(f"signs/{seed}")
    for number in range(count):
        script = scripts[number % len(scripts)]
        event = dice.choice(script.events)
        colour, second = event.see.background, dice.choice(event.moments)
        other = dice.choice([one for one in ROADS if one != colour])
        means = {one: ROADS[one] for one in dice.sample([colour, other], 2)}
        frame = FrameRef(clip=script.id, time=float(second), height=PATCH, width=PATCH)
        task = _task(f"sign/{number}", script, folder, signpost_question(second, means))
        yield _read(task, dialect, [frame], f"{colour} means {ROADS[colour]}")


def _task(
    name: str, script: Script, folder: str | Path, question: str, options: tuple[str, ...] = ()
) -> Task:
    clip = Clip(id=script.id, path=str(Path(folder) / "clips" / f"{script.id}.mp4"))
    return Task(id=name, source="listings", clips=(clip,), question=question, options=options)


def _read(
    task: Task, dialect: Dialect, frames: Sequence[FrameRef], said: str, value: str | None = None
) -> Trajectory:
    """The frames as a tool shows them, and the searcher's next turn: its begin, or whole if it answers."""
    found = Findings(glimpses=tuple(Glimpse(time=frame.time, content=frame) for frame in frames))
    prompt = Message(role="user", parts=dialect.observation(task, [found], ()))
    words = f"Summary: {said}."
    if value is not None:
        words += f" Reflection: that proves it.\n{dialect.reply(value)}"
    return Trajectory(task=task, prompt=(prompt,), turns=[Turn(text=words)], stop="answered", answer=words)
