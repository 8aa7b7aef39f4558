"""A script: what happens in an embedded clip, second by second.

It is the truth from which pictures, sound and questions are made.

A script is drawn from a seed and is nothing but data; it knows no pixels (`picture.py`), no sound waves
(`tones.py`) and no questions (`questions.py`). Events tile the clip, begin and end at whole seconds, and
neighbours differ in every visible trait, so that a change of anything is a change of event.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args

from eva_lightning.files.encoding import encode

Background = Literal["red", "orange", "yellow", "green", "cyan", "blue", "purple", "brown"]
Ink = Literal["black", "white", "grey", "pink"]
Shape = Literal["circle", "square", "triangle", "cross"]
Mark = Literal["rows", "columns", "checks", "slants"]
CueName = Literal["low beep", "high beep", "double beep", "rising tone", "falling tone"]

BACKGROUNDS: tuple[Background, ...] = get_args(Background)
INKS: tuple[Ink, ...] = get_args(Ink)
SHAPES: tuple[Shape, ...] = get_args(Shape)
MARKS: tuple[Mark, ...] = get_args(Mark)
CUE_NAMES: tuple[CueName, ...] = get_args(CueName)

MARGIN = 2
"""Whole seconds between a moment that is asked about (or a cue) and the borders of its event."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What one event looks like, coarse to fine: the finer the trait, the larger a frame has to be."""

    background: Background
    """Colour of nearly all of the picture: readable at one visual token."""
    shape: Shape
    """What stands in the middle: readable from about 56 pixels on."""
    ink: Ink
    """Colour of the shape."""
    mark: Mark
    """Fine pattern on the small plate in the corner: gone when the frame is shrunk to a quarter."""

    @property
    def sentence(self) -> str:
        """The scene in as few words as there are.

        Filler words would earn a wrong description ROUGE points.
        """
        return f"{self.ink} {self.shape} on {self.background} with {self.mark}"


@dataclass(frozen=True, kw_only=True)
class Cue:
    """A sound heard within one second."""

    name: CueName
    """Which sound."""
    at: int
    """Second of the clip at which it begins."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """A stretch of the clip in which nothing changes."""

    start: int
    """First second."""
    end: int
    """Second at which the next event begins."""
    see: Scene
    """What is shown."""
    hear: Cue | None = None
    """What is heard; None is silence."""

    @property
    def sentence(self) -> str:
        """The event in words, for worlds that are made of words."""
        sound = f"; a {self.hear.name} at second {self.hear.at}" if self.hear else ""
        return f"From second {self.start} to {self.end}: {self.see.sentence}{sound}."

    @property
    def moments(self) -> range:
        """Seconds that may be asked about: far enough from both borders."""
        return range(self.start + MARGIN, self.end - MARGIN + 1)


@dataclass(frozen=True, kw_only=True)
class Script:
    """One clip: its format and its events."""

    id: str
    """Name of the clip and of its file; ends in a fingerprint of everything below."""
    seed: int
    """Dice it was drawn with."""
    duration: int
    """Length in seconds."""
    fps: int
    """Frames per second."""
    height: int
    """Native height in pixels."""
    width: int
    """Native width in pixels."""
    gop: int
    """Frames from one key frame to the next."""
    events: tuple[Event, ...]
    """In order, without holes, from 0 to `duration`."""

    def __post_init__(self) -> None:
        if not self.events:
            raise ValueError(f"script {self.id!r} has no events")
        borders = [0, *(event.end for event in self.events)]
        for border, event in zip(borders, self.events, strict=False):
            if event.start != border or event.end <= event.start:
                raise ValueError(
                    f"script {self.id!r}: an event from {event.start} to {event.end} follows second {border}"
                )
        if borders[-1] != self.duration:
            raise ValueError(
                f"script {self.id!r} lasts {self.duration} s but its events end at {borders[-1]}"
            )
        try:
            _check_format(self)
        except ValueError as problem:
            raise ValueError(f"script {self.id!r}: {problem}") from None

    def at(self, second: float) -> Event:
        """The event shown at `second`; times outside the clip are clamped to it."""
        for event in self.events:
            if second < event.end:
                return event
        return self.events[-1]

    @property
    def told(self) -> int:
        """The length that an agent is told, a second short of the clip.

        Teachers name no second beyond it, so that a tiny model can copy the number.
        """
        return self.duration - 1

    @property
    def shortest(self) -> int:
        """Seconds of the shortest event: whoever looks more often than that misses none."""
        return min(event.end - event.start for event in self.events)


@dataclass(frozen=True, kw_only=True)
class ScriptSettings:
    """What kind of scripts to draw."""

    duration: tuple[int, int] = (60, 120)
    """Shortest and longest clip, in seconds."""
    event: tuple[int, int] = (6, 20)
    """Shortest and longest event, in seconds."""
    fps: int = 5
    """Frames per second."""
    height: int = 224
    """Native height in pixels."""
    width: int = 224
    """Native width in pixels."""
    gop: int = 50
    """Frames from one key frame to the next."""
    cues: float = 0.7
    """Share of the events that have a sound."""

    def __post_init__(self) -> None:
        low, high = self.event
        if low < 2 * MARGIN or high < 2 * low:
            raise ValueError(
                f"events of {low} to {high} s: want at least {2 * MARGIN} s, and the longest 2x the shortest"
            )
        if not 2 * low <= self.duration[0] <= self.duration[1]:
            raise ValueError(
                f"clips of {self.duration} s: want a rising range that begins at {2 * low} or more"
            )
        if not 0 <= self.cues <= 1:
            raise ValueError(f"cues of {self.cues}: want a share between 0 and 1")
        _check_format(self)


def _check_format(clip: Script | ScriptSettings) -> None:
    if min(clip.height, clip.width) < 112 or clip.height % 2 or clip.width % 2:
        raise ValueError(f"height {clip.height}, width {clip.width}: want even sizes from 112 on")
    if clip.fps < 1 or clip.gop < 1:
        raise ValueError(f"fps {clip.fps}, gop {clip.gop}: want 1 or more")


def an(words: str) -> str:
    """Words with their article: "a red background", "an orange background"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def write_script(seed: int, settings: ScriptSettings | None = None) -> Script:
    """The script of a seed: the same seed and settings give the same script, on every machine."""
    settings = settings or ScriptSettings()
    dice = random.Random(f"script/{seed}")
    duration = dice.randint(*settings.duration)
    events: list[Event] = []
    for length in _lengths(duration, *settings.event, dice):
        start = events[-1].end if events else 0
        event = Event(start=start, end=start + length, see=_scene(events[-1].see if events else None, dice))
        events.append(replace(event, hear=_cue(event, settings.cues, dice)))
    script = Script(
        id=f"s{seed}",
        seed=seed,
        duration=duration,
        fps=settings.fps,
        height=settings.height,
        width=settings.width,
        gop=settings.gop,
        events=tuple(events),
    )
    return replace(script, id=f"s{seed}-{_fingerprint(script)}")


def _lengths(duration: int, shortest: int, longest: int, dice: random.Random) -> list[int]:
    """Random lengths that add up to `duration`."""
    lengths: list[int] = []
    rest = duration
    while rest:
        length = dice.randint(shortest, min(longest, rest))
        if 0 < rest - length < shortest:  # what would be left is too short to be an event
            length = rest if rest <= longest else rest - shortest
        lengths.append(length)
        rest -= length
    return lengths


def _scene(before: Scene | None, dice: random.Random) -> Scene:
    return Scene(
        background=_other(BACKGROUNDS, before.background if before else None, dice),
        shape=_other(SHAPES, before.shape if before else None, dice),
        ink=_other(INKS, before.ink if before else None, dice),
        mark=_other(MARKS, before.mark if before else None, dice),
    )


def _other(values: Sequence[T], taken: T | None, dice: random.Random) -> T:
    return dice.choice([value for value in values if value != taken])


def _cue(event: Event, share: float, dice: random.Random) -> Cue | None:
    if dice.random() >= share:
        return None
    return Cue(name=dice.choice(CUE_NAMES), at=dice.choice(event.moments))


def _fingerprint(script: Script) -> str:
    """Eight letters that change with anything in the script.

    A clip of that name need not be rendered again.
    """
    text = json.dumps(encode(script), sort_keys=True)
    return hashlib.blake2s(text.encode(), digest_size=4).hexdigest()
