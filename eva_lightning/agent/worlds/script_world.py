"""The world made of words: what a script says is seen and heard at the seconds that an agent asks for.

A rehearsal of a world of videos that costs nothing: the same calls look at the same moments, and what no
sampled moment hits stays unseen, so that looking often and in the right place matters here as there. No model
is asked, so nothing is invented and nothing beyond the asked moments can leak. It never sees a question.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from eva_lightning.agent.worlds.base import ClipFacts, Glimpse, Look, Sound, World
from eva_lightning.agent.worlds.script import ClipScript, read_scripts
from eva_lightning.faults import Fault, UsageError
from eva_lightning.records import Clip

UNSEEN = "nothing to be seen"
"""What a moment shows in a gap of the script."""
EPSILON = 1e-6
"""Seconds by which a frame may begin after the moment at which it is on show, as in videos."""


class ScriptWorld(World):
    """Shows scripts instead of videos."""

    has_pictures = False

    def __init__(self, scripts: str, fps: float | None = None, size: tuple[int, int] | None = None) -> None:
        """
        Args:
            scripts: JSONL file of clip scripts. A clip has the script that is named like its file without the
                ending, or like itself where it has no file.
            fps: Frames a second of the videos that are rehearsed: the moments that are shown are those of
                their frames. None shows any moment.
            size: Height and width in pixels at which a describer of those videos would read a frame, so that
                what it costs is counted here too; None counts nothing.
        """
        self._begin(read_scripts(scripts), fps, size)
        self.scripts = str(scripts)

    @classmethod
    def of(
        cls, scripts: Iterable[ClipScript], fps: float | None = None, size: tuple[int, int] | None = None
    ) -> ScriptWorld:
        """The world of scripts that are in no file."""
        world = cls.__new__(cls)
        world._begin({script.clip: script for script in scripts}, fps, size)
        world.scripts = ""
        return world

    def _begin(
        self, scripts: Mapping[str, ClipScript], fps: float | None, size: tuple[int, int] | None
    ) -> None:
        if fps is not None and not (math.isfinite(fps) and fps > 0):
            raise UsageError(f"{type(self).__name__} with fps {fps:g}: want more than 0, or None")
        self._scripts, self.fps, self.size = scripts, fps, size

    def facts(self) -> dict[str, Any]:
        return {"scripts": self.scripts, "fps": self.fps, "size": self.size and list(self.size)}

    def describe(self, clip: Clip) -> ClipFacts:
        begin, end, _ = self._part(clip)
        return ClipFacts(duration=end - begin)

    def viewing(self, clip: Clip, times: Sequence[float]) -> Look:
        height, width = self.size or (None, None)
        return Look(clip=clip, times=tuple(times), height=height, width=width, square=self.square)

    async def look(self, clip: Clip, times: Sequence[float], height: int, width: int) -> list[Glimpse]:
        return [Glimpse(time=one.time, content=one.words) for one in self._sightings(clip, times)]

    async def tell(self, looks: Sequence[Look], focus: str) -> str:
        """Every event that the looks hit, with the moments that hit it; the focus hides none."""
        return told(one for look in looks for one in self._sightings(look.clip, look.times))

    async def listen(self, clip: Clip, start: float, end: float) -> Sound:
        begin, last, script = self._part(clip)
        start, end = max(start, 0.0), min(end, last - begin)
        heard = script.heard(begin + start, begin + end) if start <= end else ()
        lines = [spoken(event.start - begin, event.end - begin, event.hear) for event in heard]
        return Sound(start=start, end=end, text="\n".join(lines))

    def _sightings(self, clip: Clip, times: Sequence[float]) -> list[Sighting]:
        begin, end, script = self._part(clip)
        found = []
        for asked in times:
            time = self._on_show(min(begin + max(asked, 0.0), end), script.duration)
            event = script.at(time)
            shown = round(max(time - begin, 0.0), 6)
            found.append(Sighting(clip.id, shown, UNSEEN if event is None else event.see))
        return found

    def _on_show(self, time: float, duration: float) -> float:
        """The begin of the frame that is on show at a moment."""
        if self.fps is None:
            return time
        last = math.ceil(duration * self.fps - EPSILON) - 1
        return max(min(math.floor((time + EPSILON) * self.fps), last), 0) / self.fps

    def _part(self, clip: Clip) -> tuple[float, float, ClipScript]:
        """Begin and end of a clip within its script, in seconds, and that script."""
        name = Path(clip.path).stem if clip.path else clip.id
        script = self._scripts.get(name)
        if script is None:
            raise Fault(f"there is no script of {name!r} in {self.scripts or 'this world'}; add it")
        begin = clip.begin or 0.0
        end = script.duration if clip.end is None else min(clip.end, script.duration)
        if begin >= end:
            raise Fault(
                f"clip {clip.id!r} begins at {begin:g} s, but its script ends at {script.duration:g} s"
            )
        return begin, end, script


class Sighting(NamedTuple):
    """What one moment showed."""

    clip: str
    """Id of the clip."""
    time: float
    """True second, clip-relative."""
    words: str
    """What was on show."""


def told(sightings: Iterable[Sighting]) -> str:
    """Moments in words, a line for each run of them that shows the same.

    >>> told([Sighting("a", 0.5, "a kettle"), Sighting("a", 2.0, "a kettle"), Sighting("b", 1.0, "a pan")])
    'a, 0.5 to 2.0 s: a kettle\\nb, 1.0 s: a pan'
    """
    lines = []
    for (clip, words), run in groupby(sightings, key=lambda one: (one.clip, one.words)):
        times = [one.time for one in run]
        until = f" to {times[-1]:.1f}" if times[-1] != times[0] else ""
        lines.append(f"{clip}, {times[0]:.1f}{until} s: {words}")
    return "\n".join(lines)


def spoken(start: float, end: float, words: str) -> str:
    """What was heard, with its seconds.

    >>> spoken(3, 8.25, "two cups")
    '3.0 to 8.2 s: two cups'
    """
    return f"{start:.1f} to {end:.1f} s: {words}"
