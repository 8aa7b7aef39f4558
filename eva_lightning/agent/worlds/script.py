"""A clip as words: what can be seen and heard in it, and when. No pixels, no question, no answer.

It is what a `ScriptWorld` shows, and what a video is rendered from, so that both can be held against each
other. Times are seconds from the clip's begin. Events may leave gaps, in which there is nothing to perceive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from eva_lightning.faults import UsageError
from eva_lightning.files.store import stream


@dataclass(frozen=True, kw_only=True)
class ScriptEvent:
    """A stretch of a clip in which nothing changes."""

    start: float
    """First second, from the clip's begin."""
    end: float
    """Second at which it is over; later than the first."""
    see: str = ""
    """What is shown, in words; empty where only something is heard."""
    hear: str = ""
    """What is said or heard, in words; empty is silence."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.end) and 0 <= self.start < self.end):
            raise ValueError(f"an event from {self.start:g} to {self.end:g} s: want 0 <= start < end")
        if not (self.see.strip() or self.hear.strip()):
            raise ValueError(
                f"the event from {self.start:g} to {self.end:g} s shows and says nothing; leave it out"
            )


@dataclass(frozen=True, kw_only=True)
class ClipScript:
    """What there is to see and hear in one clip."""

    clip: str
    """Id of the clip, or name of its file without the ending."""
    duration: float
    """Length in seconds."""
    events: tuple[ScriptEvent, ...] = ()
    """In order of their begin. One thing is shown at a time; what is heard may overlap."""

    def __post_init__(self) -> None:
        if not self.clip.strip():
            raise ValueError(f"the script of a clip named {self.clip!r}: give its id")
        if not (math.isfinite(self.duration) and self.duration > 0):
            raise ValueError(f"the script of {self.clip!r} lasts {self.duration:g} s: want more than 0")
        for before, event in pairwise(self.events):
            if event.start < before.start:
                raise ValueError(
                    f"the script of {self.clip!r} has an event at {event.start:g} s after one at "
                    f"{before.start:g} s: want them in order of their begin"
                )
        for event in self.events:
            if event.end > self.duration:
                raise ValueError(
                    f"the script of {self.clip!r} has an event from {event.start:g} to {event.end:g} s, but "
                    f"the clip ends at {self.duration:g} s"
                )
        for before, event in pairwise(self.shown):
            if event.start < before.end:
                raise ValueError(
                    f"the script of {self.clip!r} shows two things from {event.start:g} s on: the event "
                    f"before ends at {before.end:g} s"
                )

    @property
    def shown(self) -> tuple[ScriptEvent, ...]:
        """The events that can be seen."""
        return tuple(event for event in self.events if event.see.strip())

    def at(self, time: float) -> ScriptEvent | None:
        """The event that is shown at a second; None where nothing is.

        A border belongs to the event that begins there; the clip's end to the one that ends there.
        """
        for event in self.shown:
            if event.start <= time < event.end or time == event.end == self.duration:
                return event
        return None

    def heard(self, start: float, end: float) -> tuple[ScriptEvent, ...]:
        """The events that can be heard somewhere in a range, in order; a range may be a moment."""
        return tuple(
            event
            for event in self.events
            if event.hear.strip() and (event.start <= start or event.start < end) and start < event.end
        )


def read_scripts(path: str | Path) -> dict[str, ClipScript]:
    """The scripts of a JSONL file by clip; UsageError names file, line and field of a bad one."""
    known: dict[str, ClipScript] = {}
    for number, script in enumerate(stream(path, ClipScript), start=1):
        if script.clip in known:
            raise UsageError(f"{path}: script {number} is the second of clip {script.clip!r}; keep one")
        known[script.clip] = script
    if not known:
        raise UsageError(f"{path}: no script in it; want one a line")
    return known
