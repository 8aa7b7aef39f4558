"""A fair reading of a search: what small frames tell of when to look, and what all tell of the answer.

Any frame shows its background; the plate takes a large one. When to look next is the teacher's business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from eva_lightning.data.synthesis.families import named, shows
from eva_lightning.data.synthesis.reading import NOTHING, Insight, Sight, holes, label, readable
from eva_lightning.data.synthesis.script import Script
from eva_lightning.records import FrameRef, Task


def listed(seen: Iterable[Sight], asked: Collection[str] = ()) -> str:
    """What frames show, one by one, in words; when an asked background is first seen, and when it is over.

    For frames at 0, 40 and 80 and "red": "0 blue 40 red=40 80 cyan>80". The second is said again behind its
    sign, so that whoever writes the sign once more can copy what followed it.
    """
    words: list[str] = []
    here = None
    for second, colour in {label(sight.time): sight.scene.background for sight in seen}.items():
        sign = ""
        if colour in asked and colour != here:
            sign = f"={second}"
        elif here is not None and colour not in asked:
            sign = f">{second}"
        words.append(f"{second} {colour}{sign}")
        here = colour if colour in asked else None
    return " ".join(words)


def glances(frames: Iterable[FrameRef], script: Script) -> list[Sight]:
    """The frames in order of time, of any size: of each, the background can be read."""
    return [Sight(time=time, scene=script.at(time).see) for time in sorted({frame.time for frame in frames})]


def colours(task: Task) -> tuple[str, ...]:
    """The backgrounds that a question names."""
    return tuple(subject["background"] for subject in task.extra["look_for"])


def met(task: Task, seen: Sequence[Sight]) -> dict[str, list[Sight]]:
    """For each background of the question, the frames that show it."""
    return {
        subject["background"]: [sight for sight in seen if shows(sight.scene, subject)]
        for subject in task.extra["look_for"]
    }


def search(task: Task, script: Script, frames: Sequence[FrameRef], shortest: int) -> Insight:
    """What all frames say about a question of `SEARCHES`, where no event is shorter than `shortest`."""
    if not frames:
        return NOTHING
    return _READINGS[task.source](task, script, frames, shortest)


def _plate(task: Task, script: Script, frames: Sequence[FrameRef], _: int) -> Insight:
    """The pattern, where a large frame shows the background; else where it is."""
    large = [frame for frame in frames if readable("mark", frame, script)]
    ((colour, closely),) = met(task, glances(large, script)).items()
    if closely:
        mark = closely[0].scene.mark
        return Insight(value=mark, proven=True, words=mark)
    return Insight(value=None, proven=False, words=where(colour, met(task, glances(frames, script))[colour]))


def where(colour: str, hits: Sequence[Sight]) -> str:
    """The second of the first of these frames, in words."""
    return f"{colour}={label(hits[0].time)}" if hits else f"{colour} nowhere"


@dataclass(frozen=True, kw_only=True)
class Border:
    """Where a background is over, by the frames beside it."""

    first: Sight
    """The first frame that shows it."""
    last: Sight
    """The last one."""
    after: Sight | None
    """The next one; None if none was seen."""


def border(task: Task, seen: Sequence[Sight]) -> Border | None:
    """Of the background of a question; None if it was not seen."""
    ((_, hits),) = met(task, seen).items()
    if not hits:
        return None
    after = next((sight for sight in seen if sight.time > hits[-1].time), None)
    return Border(first=hits[0], last=hits[-1], after=after)


def _after(task: Task, script: Script, frames: Sequence[FrameRef], shortest: int) -> Insight:
    """The next background that was seen; certain if no event can hide before it."""
    found = border(task, glances(frames, script))
    if found is None:
        return Insight(value=None, proven=False, words=f"{colours(task)[0]} nowhere")
    words, after = followed(found.first, found.after), found.after
    if after is None:
        return Insight(value=None, proven=False, words=words)
    proven = after.time - found.last.time <= shortest
    return Insight(value=after.scene.background, proven=proven, words=words)


def followed(first: Sight, after: Sight | None) -> str:
    """When a background is first seen, and what is shown once it is over: "red=40 cyan>80"."""
    begins = where(first.scene.background, [first])
    return f"{begins} {after.scene.background}>{label(after.time)}" if after else f"{begins} to the end"


def _first(task: Task, script: Script, frames: Sequence[FrameRef], _: int) -> Insight:
    """Whichever was seen first; certain once both were seen."""
    found = met(task, glances(frames, script))
    order = sorted((hits[0].time, colour) for colour, hits in found.items() if hits)
    words = ", ".join(
        [where(colour, found[colour]) for _, colour in order]
        + [where(colour, []) for colour, hits in found.items() if not hits]
    )
    value = named({"background": order[0][1]}) if order else None
    return Insight(value=value, proven=len(order) == len(found), words=words)


def _times(task: Task, script: Script, frames: Sequence[FrameRef], shortest: int) -> Insight:
    """Rows of frames that show it; certain if no event can hide between two frames."""
    seen = glances(frames, script)
    ((subject, colour),) = ((one, one["background"]) for one in task.extra["look_for"])
    hits = [shows(sight.scene, subject) for sight in seen]
    begins = [
        str(label(sight.time))
        for before, hit, sight in zip([False, *hits], hits, seen, strict=False)
        if hit and not before
    ]
    return Insight(
        value=str(len(begins)),
        proven=not holes([sight.time for sight in seen], script.duration, shortest),
        words=" ".join(f"{colour}={begin}" for begin in begins) or f"{colour} nowhere",
    )


def road(task: Task, script: Script, frames: Iterable[FrameRef]) -> tuple[str, int] | None:
    """What the background at the signpost is, and which second that means; None if it was not looked at."""
    for sight in glances(frames, script):
        if abs(sight.time - task.extra["signpost"]) <= 1:
            colour = sight.scene.background
            return colour, task.extra["means"][colour]
    return None


def _pointed(task: Task, script: Script, frames: Sequence[FrameRef], _: int) -> Insight:
    """The pattern at the second that the signpost means, where a large frame shows it."""
    found = road(task, script, frames)
    if found is None:
        return NOTHING
    colour, second = found
    large = glances((frame for frame in frames if readable("mark", frame, script)), script)
    there = [sight for sight in large if abs(sight.time - second) <= 1]
    if not there:
        return Insight(value=None, proven=False, words=f"{colour} means {second}")
    mark = there[0].scene.mark
    return Insight(value=mark, proven=True, words=f"{mark} at second {second}")


_READINGS: dict[str, Callable[[Task, Script, Sequence[FrameRef], int], Insight]] = {
    "plate_while": _plate,
    "right_after": _after,
    "first_of_two": _first,
    "how_often": _times,
    "signpost": _pointed,
}
