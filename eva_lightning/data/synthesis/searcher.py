"""The searcher: an oracle that finds out when to look, in as few looks as there can be, and then looks there.

Its first look is a scan of a few frames of one visual token each, whatever the length of the clip. What it
saw it reads frame by frame (`listed`), and then says what that tells. Only if the scan stepped over what it
needs does it scan again, between the frames of the first. Questions that need no search are the oracle's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.data.synthesis.reading import Insight, label, readable
from eva_lightning.data.synthesis.script import Script
from eva_lightning.data.synthesis.search_reading import border, colours, glances, listed, met, road, search
from eva_lightning.data.synthesis.searches import SCAN, SEARCHES
from eva_lightning.data.synthesis.teachers import (
    Oracle,
    PlannedLook,
    frame_size,
    frame_tokens,
    planned,
    resize_to,
)
from eva_lightning.engines.base import Context
from eva_lightning.records import PATCH, FrameRef, Task


class Searcher(Oracle):
    """Writes the right next turn of a search.

    `plate_while`: a scan, a large frame at the second of a frame that showed the background: two looks.
    `right_after`: a scan, then a closer look from the first frame that showed it to the next other one: two
    looks, or one where the scan's frames are no further apart than the shortest event lasts.
    `first_of_two`: one look if the scan shows both. `how_often`: as many looks as it takes until no event can
    hide. `signpost`: a frame there, and one where it points. Each of the others takes one look more for every
    further scan that was needed: none after the second, of 11 frames between the first 12, where a clip lasts
    at most 22 times as long as its world's shortest event less a second.
    """

    def __init__(
        self,
        scripts: Iterable[Script],
        tasks: Iterable[Task],
        dialect: Dialect,
        *,
        frames: int = SCAN,
        most: int = 2 * SCAN,
        **settings: Any,
    ) -> None:
        """`frames` are those of the first scan, `most` as many as a further one may have.

        `settings` are the oracle's.
        """
        super().__init__(scripts, tasks, dialect, **settings)
        if frames < 2 or most < 2:
            raise ValueError(f"scans of {frames} and {most} frames: want 2 or more")
        self.frames, self.most = frames, most

    def __call__(self, context: Context) -> str:
        task, script, said = self.place(context)
        if task.source not in SEARCHES:
            return super().__call__(context)
        found = self.read(context, task, script)
        look = None if found.proven else self.next_search(task, script, context.frames)
        if look is None or said >= self.patience - 1:
            return self.answer(task, found)
        return self.turn(found if context.frames else None, look)

    def answer(self, task: Task, found: Insight) -> str:
        """The last turn. An option is named by what it says: its letter would be one search more."""
        if task.source not in SEARCHES:
            return super().answer(task, found)
        words = found.value or (task.options[0] if task.options else "unknown")
        return self.last_turn(found, words, "that proves it" if found.proven else "this is my best guess")

    def read(self, context: Context, task: Task, script: Script) -> Insight:
        """What all frames tell, its words being the newest ones read one by one, and what follows."""
        found = search(task, script, context.frames, self.shortest)
        # Who counts over several looks has to read them as one row: frames of two looks may show one event.
        last = context.messages[-1].frames if context.messages else ()
        newest = context.frames if task.source == "how_often" else last
        if not newest or task.source == "signpost":  # where no row is read
            return found
        return replace(found, words=f"{listed(glances(newest, script), colours(task))}; {found.words}")

    def turn(self, found: Insight | None, look: PlannedLook) -> str:
        """A turn that calls, after what was found so far."""
        summary = "" if found is None else f"Summary: {found.words}. "
        return f"{summary}Plan: {self.plan(found, look)}.\n{self.call(look)}"

    def plan(self, found: Insight | None, look: PlannedLook) -> str:
        """A look in words: times that were said a moment ago and stand in the call are not copied."""
        if found is None and look.start:
            return planned(look)
        if look.nframes == 1:
            return f"one {frame_size(look)} frame there"
        where = "of the whole video" if found is None else "in between"
        return f"{look.nframes} {frame_size(look)} frames {where}"

    def next_search(self, task: Task, script: Script, frames: Sequence[FrameRef]) -> PlannedLook | None:
        """What to look at next; None if nothing more can be gained."""
        seen = glances(frames, script)
        if task.source == "signpost":
            found = road(task, script, frames)
            return (
                self.scan(script, at := task.extra["signpost"], at, 1) if found is None else close(found[1])
            )
        if not seen:
            return self.scan(script, 0, script.told, self.frames)
        if task.source == "plate_while" and (hits := next(iter(met(task, seen).values()))):
            tried = {label(frame.time) for frame in frames if readable("mark", frame, script)}
            untried = [sight for sight in hits if label(sight.time) not in tried]
            return close(label((untried or hits)[0].time))
        if task.source == "right_after" and (edge := border(task, seen)):
            end = label(edge.after.time) if edge.after else script.told
            return self.between(script, label(edge.first.time), end)
        return self.further(script, [sight.time for sight in seen])

    def between(self, script: Script, start: int, end: int) -> PlannedLook:
        """Frames so close from `start` to `end` that no event hides between them."""
        return self.scan(script, start, end, math.ceil((end - start) / (self.shortest - 1)) + 1)

    def further(self, script: Script, times: Sequence[float]) -> PlannedLook | None:
        """The next scan, between the frames of those before; None if no event can hide there."""
        spans = self._unseen(script, times)
        if not spans:
            return None
        (start, end), widest = (spans[0][0], spans[-1][1]), max(b - a for a, b in spans)
        parts = math.ceil(widest / (self.shortest - 1))  # that the widest is cut into
        step = widest / parts
        halved = parts == 2 and all(b - a > 0.7 * widest for a, b in spans)
        count = len(spans) if halved else math.ceil((end - start) / step - 1e-6) - 1
        first, last = round(start + step), round(end - step)
        if count > self.most:
            count, last = self.most, round(first + (last - first) * (self.most - 1) / (count - 1))
        return self.scan(script, first, last, count)

    def _unseen(self, script: Script, times: Sequence[float]) -> list[tuple[float, float]]:
        """What lies between frames, from the first hole to the last that is not far from the one before."""
        between = list(pairwise([0.0, *times, float(script.duration)]))
        row: list[int] = []
        for place, (start, end) in enumerate(between):
            far = bool(row) and start - between[row[-1]][1] > 2 * self.shortest
            if end - start > self.shortest and not far:
                row.append(place)
        return between[row[0] : row[-1] + 1] if row else []

    def scan(self, script: Script, start: int, end: int, nframes: int) -> PlannedLook:
        """A look at small frames, as many as a call may cost; a moment has one."""
        resize = resize_to(PATCH, script)
        nframes = min(nframes, self.call_budget // frame_tokens(script, resize)) if end > start else 1
        return PlannedLook(start=start, end=max(start, end), nframes=max(nframes, 1), resize=resize)


def close(second: int) -> PlannedLook:
    """One large frame at a second."""
    return PlannedLook(start=second, end=second, nframes=1, resize=1.0)
