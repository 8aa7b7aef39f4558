"""The oracle: a teacher that looks where the evidence is and answers only when the frames shown prove it.

It writes the next turn as text, so it can stand wherever an engine stands; it plans, calls, sums up and
reflects in a few short words that a tiny model can learn. It knows the script, but judges by the frames that
were really shown (`reading.py`), so cut or clamped calls make it look again. Its bad sibling is in
`sloppy.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eva_lightning.agent.config import LOOK
from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.data.synthesis.reading import (
    MARK_SCALE,
    SHAPE_SIDE,
    Insight,
    Sight,
    bracket,
    find,
    holes,
    sights,
)
from eva_lightning.data.synthesis.script import Script, an
from eva_lightning.engines.base import Context
from eva_lightning.records import PATCH, Task

CALL_BUDGET = 12_000
"""Visual tokens of one call, the text around its frames included (EVA's evaluation gives that much)."""

FRAME_TEXT = 16
"""Tokens of text around one frame: its number and time."""

LADDER = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Values of `resize` that teachers use: few and easy to copy."""


@dataclass(frozen=True, kw_only=True)
class PlannedLook:
    """A look that is not spelled yet."""

    start: float
    """First second."""
    end: float
    """Last second."""
    nframes: int
    """Frames, evenly spread."""
    resize: float
    """Share of the native size."""


class Oracle:
    """Writes the right next turn for tasks of known scripts."""

    def __init__(
        self,
        scripts: Iterable[Script],
        tasks: Iterable[Task],
        dialect: Dialect,
        *,
        call_budget: int = CALL_BUDGET,
        patience: int = 6,
        shortest: int | None = None,
    ) -> None:
        """`shortest` is how many seconds the shortest event of the world lasts; None asks the scripts."""
        self.scripts = {script.id: script for script in scripts}
        self.tasks = {task.id: task for task in tasks}
        self.dialect = dialect
        self.call_budget = call_budget
        self.patience = patience  # turns after which it answers with what it has, so that no loop is endless
        # Scans look more often than the shortest event of the whole world lasts: a habit that can be learned.
        self.shortest = shortest or min(script.shortest for script in self.scripts.values())

    def __call__(self, context: Context) -> str:
        task, script, said = self.place(context)
        if task.extra.get("listen"):
            return self._listen(task, script, said)
        seen = sights(context.frames, task, script)
        found = find(task, script, seen, self.shortest)
        look = None if found.proven else self.next_look(task, script, seen)
        if look is None or said >= self.patience - 1:
            return self.answer(task, found)
        summary = "" if not context.frames else f"Summary: {found.words}. "
        return f"{summary}Plan: {planned(look)}.\n{self.call(look)}"

    def place(self, context: Context) -> tuple[Task, Script, int]:
        """The task of a conversation, its script, and how many turns were written."""
        if context.task_id not in self.tasks:
            raise KeyError(f"the teacher knows no task {context.task_id!r}")
        task = self.tasks[context.task_id]
        said = sum(message.role == "assistant" for message in context.messages)
        return task, self.scripts[task.clips[0].id], said

    def next_look(self, task: Task, script: Script, seen: Sequence[Sight]) -> PlannedLook | None:
        """What to look at next; None if nothing more can be gained."""
        resize = resize_for(task, script)
        if "at" in task.extra:
            second = task.extra["at"]
            return PlannedLook(start=second, end=second, nframes=1, resize=resize)
        unseen = holes([sight.time for sight in seen], script.duration, self.shortest)
        if unseen:
            start, end = math.floor(unseen[0][0]), min(math.ceil(unseen[0][1]), script.told)
            return self.at_most_apart(script, start, end, self.shortest - 1, resize)
        found = bracket(task, script, seen) if task.source == "when" else None
        for border in found or ():
            if len(border) > 1:
                start, end = max(border.start - 1, 0), min(border.stop, script.told)
                return self.at_most_apart(script, start, end, 1, resize)
        return None

    def at_most_apart(
        self, script: Script, start: int, end: int, spacing: float, resize: float
    ) -> PlannedLook:
        """Frames from `start` to `end`, at most `spacing` seconds apart.

        They are cut short where the budget is full.
        """
        most = max(2, self.call_budget // frame_tokens(script, resize))
        nframes = math.ceil((end - start) / spacing) + 1
        if nframes > most:
            nframes, end = most, start + int((most - 1) * spacing)
        return PlannedLook(start=start, end=end, nframes=nframes, resize=resize)

    def call(self, look: PlannedLook) -> str:
        return self.dialect.call(
            LOOK, start_time=look.start, end_time=look.end, nframes=look.nframes, resize=look.resize
        )

    def answer(self, task: Task, found: Insight) -> str:
        """The last turn: what was seen, whether that is enough, and the answer."""
        words = spelled(task, found.value) or (task.letters[0] if task.options else "unknown")
        return self.last_turn(found, words, "that proves it" if found.proven else "this is my best guess")

    def last_turn(self, found: Insight, answer: str, verdict: str) -> str:
        return f"Summary: {found.words}. Reflection: {verdict}.\n{self.dialect.reply(answer)}"

    def _listen(self, task: Task, script: Script, said: int) -> str:
        """Sound: one call of `listen`, then what the script says is heard there."""
        second = task.extra.get("at")
        if said == 0:
            start, end = (second - 1, second + 2) if second is not None else (0, script.told)
            where = f"at second {second}" if second is not None else "to the whole video"
            call = self.dialect.call("listen", start_time=start, end_time=end)
            return f"Plan: listen {where}.\n{call}"
        return self.answer(task, heard(task, script, 0, script.duration))


def heard(task: Task, script: Script, start: float, end: float) -> Insight:
    """What can be said after listening from `start` to `end`."""
    for event in script.events:
        cue = event.hear
        if cue is None or not start <= cue.at < end:
            continue
        if cue.at == task.extra.get("at") or cue.name == task.extra.get("listen_for"):
            value = str(cue.at) if "listen_for" in task.extra else cue.name
            return Insight(value=value, proven=True, words=f"{an(cue.name)} at second {cue.at}")
    return Insight(value=None, proven=False, words="no such sound")


def spelled(task: Task, value: str | None) -> str | None:
    """An answer as the task wants it: the letter of its option, or the value; None if no option says so."""
    if not task.options or value is None:
        return value
    return task.letters[task.options.index(value)] if value in task.options else None


def resize_for(task: Task, script: Script) -> float:
    """The smallest frames in which every trait of the task can be read."""
    traits = task.extra.get("read", ())
    if "mark" in traits:
        return 1.0
    return resize_to(PATCH if set(traits) <= {"background"} else SHAPE_SIDE, script)


def resize_to(side: int, script: Script) -> float:
    """The value of `resize` for the smallest frames whose shorter side is so many pixels."""
    return next(r for r in LADDER if round(min(script.height, script.width) * r / PATCH) * PATCH >= side)


def frame_tokens(script: Script, resize: float) -> int:
    """Tokens of one frame with the text around it."""
    rows, columns = (max(1, round(side * resize / PATCH)) for side in (script.height, script.width))
    return rows * columns + FRAME_TEXT


def frame_size(look: PlannedLook) -> str:
    """The size of its frames, in a word."""
    return "small" if look.resize <= 0.25 else "medium" if look.resize < MARK_SCALE else "large"


def planned(look: PlannedLook) -> str:
    """A look in words."""
    size = frame_size(look)
    if look.nframes == 1:
        return f"one {size} frame at second {(look.start + look.end) / 2:g}"
    return f"{look.nframes} {size} frames from {look.start:g} to {look.end:g}"
