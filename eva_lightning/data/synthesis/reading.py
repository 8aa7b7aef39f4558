"""A fair reading: what the frames shown so far tell about a task.

Only shown seconds count, and a trait counts only if the frame was large enough to read it.

It stands in for the eyes of a perfect viewer, by way of the script instead of the pixels (a test holds the
two against each other). It decides nothing about where to look next; that is the teachers' business.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from eva_lightning.data.synthesis.families import named, shows
from eva_lightning.data.synthesis.script import Scene, Script
from eva_lightning.records import Answer, FrameRef, Task
from eva_lightning.scoring import canonical

SHAPE_SIDE = 56
"""Shorter side in pixels from which shape and ink can be read."""

MARK_SCALE = 0.75
"""Share of the native size from which the mark can be read safely."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One frame that was large enough for the question."""

    time: float
    """Its second."""
    scene: Scene
    """What it shows; read only the traits that the task asks for."""


@dataclass(frozen=True, kw_only=True)
class Insight:
    """What the frames say."""

    value: str | None
    """The answer in its open form, the best there is; None if the frames say nothing."""
    proven: bool
    """Whether the frames leave no other answer."""
    words: str
    """What was seen, in a few words."""


NOTHING = Insight(value=None, proven=False, words="nothing yet")


def readable(trait: str, frame: FrameRef, script: Script) -> bool:
    """Whether a trait can be read from a frame of this size."""
    if trait == "mark":
        return frame.height >= MARK_SCALE * script.height and frame.width >= MARK_SCALE * script.width
    return trait == "background" or min(frame.height, frame.width) >= SHAPE_SIDE


def sights(frames: Iterable[FrameRef], task: Task, script: Script) -> list[Sight]:
    """The frames that are large enough for the task, in order of time."""
    traits = task.extra.get("read", ())
    good = {frame.time for frame in frames if all(readable(trait, frame, script) for trait in traits)}
    return [Sight(time=time, scene=script.at(time).see) for time in sorted(good)]


def holes(times: Sequence[float], duration: float, spacing: float) -> list[tuple[float, float]]:
    """Stretches longer than `spacing` in which nothing was seen."""
    borders = [0.0, *times, duration]
    return [(a, b) for a, b in pairwise(borders) if b - a > spacing]


def find(task: Task, script: Script, seen: Sequence[Sight], shortest: int) -> Insight:
    """What the sights say about the task, where no event is shorter than `shortest` seconds."""
    if not seen:
        return NOTHING
    if task.source == "when":
        return _find_interval(task, script, seen)
    if task.source == "order":
        return _find_first(task, seen)
    if task.source == "count":
        return _find_number(task, script, seen, shortest)
    return _find_at(task, seen)


def label(time: float) -> int:
    """The whole second by which a dialect calls a frame: just before a second belongs to it."""
    return int(time + 0.05)


def _find_at(task: Task, seen: Sequence[Sight]) -> Insight:
    second = task.extra["at"]
    nearest = min(seen, key=lambda sight: abs(sight.time - second))
    traits = task.extra["read"]
    value = nearest.scene.sentence if len(traits) > 1 else str(getattr(nearest.scene, traits[0]))
    return Insight(
        value=value, proven=abs(nearest.time - second) <= 1, words=f"{value} at second {label(nearest.time)}"
    )


def _find_first(task: Task, seen: Sequence[Sight]) -> Insight:
    firsts = {
        named(subject): min((sight.time for sight in seen if shows(sight.scene, subject)), default=math.inf)
        for subject in task.extra["look_for"]
    }
    met = sorted((time, name) for name, time in firsts.items() if time < math.inf)
    if not met:
        return NOTHING
    words = ", ".join(f"{name} at second {label(time)}" for time, name in met)
    return Insight(value=met[0][1], proven=len(met) == len(firsts), words=words)


def _find_number(task: Task, script: Script, seen: Sequence[Sight], shortest: int) -> Insight:
    """Runs of frames that show the subject; certain if no event can hide between two frames."""
    (subject,) = task.extra["look_for"]
    hits = [shows(sight.scene, subject) for sight in seen]
    begins = [
        label(sight.time)
        for before, hit, sight in zip([False, *hits], hits, seen, strict=False)
        if hit and not before
    ]
    where = " and ".join(map(str, begins))
    return Insight(
        value=str(len(begins)),
        proven=not holes([sight.time for sight in seen], script.duration, shortest),
        words=f"{named(subject)} at second {where}" if begins else f"{named(subject)} nowhere",
    )


def bracket(task: Task, script: Script, seen: Sequence[Sight]) -> tuple[range, range] | None:
    """The whole seconds at which the subject may begin and end, by the frames beside its borders.

    None if it was not seen.
    """
    (subject,) = task.extra["look_for"]
    hits = [sight.time for sight in seen if shows(sight.scene, subject)]
    if not hits:
        return None
    before = max((sight.time for sight in seen if sight.time < hits[0]), default=-1.0)
    after = min((sight.time for sight in seen if sight.time > hits[-1]), default=float(script.duration))
    return (
        range(math.floor(before) + 1, math.floor(hits[0]) + 1),
        range(math.floor(hits[-1]) + 1, math.floor(after) + 1),
    )


def _find_interval(task: Task, script: Script, seen: Sequence[Sight]) -> Insight:
    """From the begin to the end of the subject; of a multiple choice, the only option the frames allow."""
    found = bracket(task, script, seen)
    (subject,) = task.extra["look_for"]
    if found is None:
        return NOTHING
    begins, ends = found
    words = f"{named(subject)} from {begins[-1]} to {ends[0]}"
    if task.options:
        spans = {option: [float(number) for number in option.split(" to ")] for option in task.options}
        fits = [option for option, (begin, end) in spans.items() if begin in begins and end in ends]
        return Insight(value=fits[0] if fits else None, proven=len(fits) == 1, words=words)
    span = canonical(Answer(kind="interval", value=(float(begins[-1]), float(ends[0]))))
    return Insight(value=span, proven=len(begins) == len(ends) == 1, words=words)
