"""The families of questions: what each could ask of a script, with the answer, wrong options and evidence.

A family is a function from a script to sketches; a new one is a function and a line in `FAMILIES`. Those that
may need several looks are in `searches.py`. Times are plain whole seconds, never within a second of an
event's border, so that a frame beside the asked second still proves. Nothing here looks at pixels.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from eva_lightning.data.synthesis.script import (
    BACKGROUNDS,
    CUE_NAMES,
    INKS,
    MARKS,
    SHAPES,
    Event,
    Scene,
    Script,
    an,
)
from eva_lightning.records import Answer
from eva_lightning.scoring import canonical

OPTIONS = 4
"""Options of a multiple choice, where that many can be told apart."""

Subject = Mapping[str, str]
"""What a question is about: traits of a scene and their values, for example {"shape": "circle"}."""

SUBJECTS: tuple[tuple[str, ...], ...] = (("background",), ("shape",), ("ink", "shape"))
"""Traits that `when`, `order` and `count` ask about."""


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A question before it is decided how it is put."""

    question: str
    """The question."""
    gold: Answer
    """The answer in its open form."""
    wrong: tuple[str, ...]
    """Texts that could stand beside it as options; all different and all wrong."""
    evidence: tuple[tuple[int, int], ...]
    """Where the answer can be seen or heard."""
    clues: Mapping[str, Any] = field(default_factory=dict)
    """What teachers need to know: `at` (second), `look_for` (subjects), `listen_for` (a cue), `read`
    (traits)."""
    open: bool = True
    """Whether it makes sense without options."""


def named(subject: Subject) -> str:
    """A subject in words.

    >>> named({"background": "orange"}), named({"ink": "white", "shape": "cross"})
    ('an orange background', 'a white cross')
    """
    if "background" in subject:
        return an(f"{subject['background']} background")
    return an(" ".join(subject[trait] for trait in ("ink", "shape") if trait in subject))


def shows(scene: Scene, subject: Subject) -> bool:
    """Whether a scene has all traits of the subject."""
    return all(getattr(scene, trait) == value for trait, value in subject.items())


def _read_at(
    script: Script, dice: random.Random, trait: str, values: Sequence[str], question: str
) -> Iterator[Sketch]:
    """One question an event about the value of a trait at some second."""
    for event in script.events:
        second, value = dice.choice(event.moments), getattr(event.see, trait)
        yield Sketch(
            question=question.format(second),
            gold=Answer(kind="text", value=value),
            wrong=tuple(other for other in values if other != value),
            evidence=((event.start, event.end),),
            clues={"at": second, "read": [trait]},
        )


Subjects = Sequence[tuple[str, ...]]


def _colour_at(script: Script, dice: random.Random, _: Subjects) -> Iterator[Sketch]:
    return _read_at(script, dice, "background", BACKGROUNDS, "What colour is the background at second {}?")


def _shape_at(script: Script, dice: random.Random, _: Subjects) -> Iterator[Sketch]:
    return _read_at(script, dice, "shape", SHAPES, "Which shape is shown at second {}?")


def _mark_at(script: Script, dice: random.Random, _: Subjects) -> Iterator[Sketch]:
    return _read_at(script, dice, "mark", MARKS, "Which pattern is on the small plate at second {}?")


def _describe(script: Script, dice: random.Random, _: Subjects) -> Iterator[Sketch]:
    """A whole scene in words; wrong options differ in one trait each, so that every trait has to be read."""
    for event in script.events:
        second = dice.choice(event.moments)
        palette: dict[str, Sequence[Any]] = {
            "background": BACKGROUNDS,
            "shape": SHAPES,
            "ink": INKS,
            "mark": MARKS,
        }
        wrong = []
        for trait, values in palette.items():
            other = dice.choice([value for value in values if value != getattr(event.see, trait)])
            wrong.append(replace(event.see, **{trait: other}).sentence)
        yield Sketch(
            question=f"Describe what is shown at second {second}.",
            gold=Answer(kind="text", value=event.see.sentence),
            wrong=tuple(wrong),
            evidence=((event.start, event.end),),
            clues={"at": second, "read": list(palette)},
        )


def times_shown(script: Script, traits: tuple[str, ...]) -> dict[tuple[str, ...], list[Event]]:
    """For each value of some traits, the events that show it.

    Neighbours differ in every trait, so each event that shows it is one time that it is shown.
    """
    found: dict[tuple[str, ...], list[Event]] = {}
    for event in script.events:
        found.setdefault(tuple(getattr(event.see, trait) for trait in traits), []).append(event)
    return found


def shown_once(script: Script, traits: tuple[str, ...]) -> list[tuple[dict[str, str], Event]]:
    """Subjects that are shown exactly once, with their event."""
    return [
        (dict(zip(traits, values, strict=True)), events[0])
        for values, events in times_shown(script, traits).items()
        if len(events) == 1
    ]


def _when(script: Script, dice: random.Random, subjects: Subjects) -> Iterator[Sketch]:
    """From when to when. Not asked of the last event, whose end can not be seen."""
    for subject, event in (pair for traits in subjects for pair in shown_once(script, traits)):
        if event is script.events[-1]:
            continue
        others = [_interval(other) for other in script.events if other is not event]
        yield Sketch(
            question=f"When is {named(subject)} shown?",
            gold=_interval(event),
            wrong=tuple(canonical(other) for other in others),
            evidence=((event.start, event.end),),
            clues={"look_for": [subject], "read": list(subject)},
        )


def _interval(event: Event) -> Answer:
    return Answer(kind="interval", value=(float(event.start), float(event.end)))


def which_first(script: Script, dice: random.Random, subjects: Subjects) -> Iterator[Sketch]:
    """Two subjects of the same traits, each shown once.

    The order in which the question names them is a toss.
    """
    for traits in subjects:
        for (first, early), (second, late) in combinations(shown_once(script, traits), 2):
            pair = [first, second]
            dice.shuffle(pair)
            yield Sketch(
                question=f"Which is shown first, {named(pair[0])} or {named(pair[1])}?",
                gold=Answer(kind="text", value=named(first)),
                wrong=(named(second),),
                evidence=((early.start, early.end), (late.start, late.end)),
                clues={"look_for": pair, "read": list(traits)},
                open=False,
            )


def how_many(script: Script, dice: random.Random, subjects: Subjects) -> Iterator[Sketch]:
    """One question for each number that occurs.

    Most things are shown once, and "1" must not become a habit.
    """
    by_number: dict[int, list[tuple[dict[str, str], list[Event]]]] = {}
    for traits in subjects:
        for values, events in times_shown(script, traits).items():
            by_number.setdefault(len(events), []).append((dict(zip(traits, values, strict=True)), events))
    for number, found in sorted(by_number.items()):
        subject, events = dice.choice(found)
        low = number - dice.randrange(min(OPTIONS, number + 1))  # the gold number's rank tells nothing
        yield Sketch(
            question=f"How many times is {named(subject)} shown?",
            gold=Answer(kind="number", value=float(number)),
            wrong=tuple(str(n) for n in range(low, low + OPTIONS) if n != number),
            evidence=tuple((event.start, event.end) for event in events),
            clues={"look_for": [subject], "read": list(subject)},
        )


def _sound(script: Script, dice: random.Random, _: Subjects) -> Iterator[Sketch]:
    """Which sound at a second, and the second of a sound that is heard once."""
    cues = [event.hear for event in script.events if event.hear]
    times = Counter(cue.name for cue in cues)
    for cue in cues:
        yield Sketch(
            question=f"Which sound is heard at second {cue.at}?",
            gold=Answer(kind="text", value=cue.name),
            wrong=tuple(name for name in CUE_NAMES if name != cue.name),
            evidence=((cue.at, cue.at + 1),),
            clues={"at": cue.at, "listen": True},
        )
        if times[cue.name] == 1:
            yield Sketch(
                question=f"At which second is {an(cue.name)} heard?",
                gold=Answer(kind="number", value=float(cue.at)),
                wrong=tuple(str(other.at) for other in cues if other is not cue),
                evidence=((cue.at, cue.at + 1),),
                clues={"listen_for": cue.name, "listen": True},
            )


Family = Callable[[Script, random.Random, Subjects], Iterator[Sketch]]
"""All that could be asked of a script; `Subjects` are the traits that may be asked about."""

FAMILIES: dict[str, Family] = {
    "colour_at": _colour_at,
    "shape_at": _shape_at,
    "mark_at": _mark_at,
    "when": _when,
    "order": which_first,
    "count": how_many,
    "describe": _describe,
    "sound": _sound,
}
"""Every family by its name, which is also the `source` of its tasks."""

SIGHT = tuple(family for family in FAMILIES if family != "sound")
"""Families that can be answered with frames alone; `sound` needs a listen tool."""
