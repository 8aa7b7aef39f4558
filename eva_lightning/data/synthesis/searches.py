"""Searches: the families of questions that one look may not answer, because nobody says when to look.

Most ask of backgrounds, which a frame of one visual token shows, so that a cheap scan of the whole clip tells
where to look again. `plate_while` wants a large frame there; `right_after` a closer look at what follows;
`first_of_two` and `how_often` ask what `order` and `count` ask. Of these three, a part is so short that a
scan may step over it, and a clip without events as short is not asked. `signpost` needs no scan: which second
is meant, another second tells. What is seen while a tone sounds is
not asked either: a tool that fetches frames hears nothing, so no look of it can come by the second of a tone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from eva_lightning.data.synthesis.families import (
    FAMILIES,
    Family,
    Sketch,
    Subjects,
    how_many,
    shown_once,
    which_first,
)
from eva_lightning.data.synthesis.script import BACKGROUNDS, MARKS, Script
from eva_lightning.records import Answer

SCAN = 12
"""Frames of a first scan: what falls between two of them is what these families are about."""

BACKGROUND: Subjects = (("background",),)

ROADS: Mapping[str, int] = {colour: 6 * place for place, colour in enumerate(BACKGROUNDS, 1)}
"""The second that a background means at a signpost: in all clips the same, as road signs are."""


def easily_missed(script: Script, start: int, end: int) -> bool:
    """Whether a first scan may step over an event: it is shorter than the time between two frames."""
    return end - start < script.told / (SCAN - 1)


def plate_question(colour: str) -> str:
    """What `plate_while` asks."""
    return f"Which pattern is on the small plate while the background is {colour}?"


def _plate_while(script: Script, dice: random.Random, _: Subjects) -> Iterator[Sketch]:
    """The fine pattern while a background is shown: find it, then look closely."""
    for subject, event in shown_once(script, BACKGROUND[0]):
        yield Sketch(
            question=plate_question(subject["background"]),
            gold=Answer(kind="text", value=event.see.mark),
            wrong=tuple(mark for mark in MARKS if mark != event.see.mark),
            evidence=((event.start, event.end),),
            clues={"look_for": [subject], "read": ["mark"]},
        )


def after_question(colour: str) -> str:
    """What `right_after` asks."""
    return f"Which background comes right after the {colour} one?"


def _right_after(script: Script, dice: random.Random, _: Subjects) -> Iterator[Sketch]:
    """What follows: of a first scan, the next background may be the one after that."""
    for subject, event in shown_once(script, BACKGROUND[0]):
        after = script.at(event.end)
        if after is event or not easily_missed(script, after.start, after.end):
            continue
        taken = {event.see.background, after.see.background}  # neighbours differ: the first is no option
        yield Sketch(
            question=after_question(subject["background"]),
            gold=Answer(kind="text", value=after.see.background),
            wrong=tuple(colour for colour in BACKGROUNDS if colour not in taken),
            evidence=((event.start, event.end), (after.start, after.end)),
            clues={"look_for": [subject], "read": ["background"]},
        )


def signpost_question(at: int, means: Mapping[str, int]) -> str:
    """What `signpost` asks: which background at second `at` means which second."""
    told = ", ".join(f"{colour} means {second}" for colour, second in means.items())
    return f"Look at second {at}: {told}. Which pattern is on the small plate at that second?"


def _signpost(script: Script, dice: random.Random, _: Subjects) -> Iterator[Sketch]:
    """The pattern at one of two seconds: which of them is meant, the background at a third one tells."""
    roads = {colour: second for colour, second in ROADS.items() if second < script.duration}
    ends = {colour: script.at(second) for colour, second in roads.items()}
    for post in script.events:
        seen = post.see.background
        open_roads = {
            colour: end
            for colour, end in ends.items()
            if end is not post and roads[colour] in end.moments  # not at the border of two scenes
        }
        goal = open_roads.get(seen)
        if goal is None:
            continue
        # The wrong second would not do as well.
        others = [colour for colour, end in open_roads.items() if end.see.mark != goal.see.mark]
        if not others:
            continue
        at, pair = dice.choice(post.moments), dice.sample([seen, dice.choice(others)], 2)
        means = {colour: roads[colour] for colour in pair}
        yield Sketch(
            question=signpost_question(at, means),
            gold=Answer(kind="text", value=goal.see.mark),
            wrong=tuple(mark for mark in MARKS if mark != goal.see.mark),
            evidence=((post.start, post.end), (goal.start, goal.end)),
            clues={"signpost": at, "means": means, "read": ["mark"]},
        )


def _first_of_two(script: Script, dice: random.Random, _: Subjects) -> Iterator[Sketch]:
    return _hard(script, which_first(script, dice, BACKGROUND))


def _how_often(script: Script, dice: random.Random, _: Subjects) -> Iterator[Sketch]:
    return _hard(script, how_many(script, dice, BACKGROUND))


def _hard(script: Script, sketches: Iterator[Sketch]) -> Iterator[Sketch]:
    """Those of which a first scan may miss a part."""
    return (one for one in sketches if any(easily_missed(script, *piece) for piece in one.evidence))


SEARCHES: dict[str, Family] = {
    "plate_while": _plate_while,
    "right_after": _right_after,
    "first_of_two": _first_of_two,
    "how_often": _how_often,
    "signpost": _signpost,
}
"""Every such family by its name, which is also the `source` of its tasks."""

ALL_FAMILIES: Mapping[str, Family] = {**FAMILIES, **SEARCHES}
"""All that the embedded world can be asked."""
