"""Stories: what an author writes for an order, read strictly, or refused with a cause that can be counted.

A story has no letters and no numbers of clips: the clips that are right stand first, and so does the right
option. Where they are shown is dealt afterwards, so that no author can prefer a place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from eva_lightning.engines.single_turn import json_of

RefusalCause = Literal[
    "no reply",
    "cut short",
    "not JSON",
    "not a story",
    "times",
    "several answers",
    "leaked",
    "duplicate",
    "no such kind",
]
"""the engine failed or would not | its reply ran into the token limit | its reply is no JSON | a field is
missing or makes no sense | times have gaps, overlap, or are too short or long | nothing tells the right
answer from another | the question or another clip says the answer | it was written before | rows of others:
of no known kind."""

LONGEST = 600
"""Characters of a question, an option or an event; what is longer is none."""


class Refused(Exception):
    """A story that will not be trained on: its cause and reason."""

    def __init__(self, cause: RefusalCause, reason: str) -> None:
        super().__init__(reason)
        self.cause = cause


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A stretch of a clip in which one thing happens."""

    start: float
    """First second of the clip."""
    end: float
    """Second at which it is over."""
    see: str
    """What is shown."""
    hear: str = ""
    """What is said; empty is silence."""
    key: bool = False
    """Whether one must perceive it to answer."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """What an author wrote."""

    clips: tuple[tuple[Moment, ...], ...]
    """The clips, those that are right first, or in their true order."""
    question: str = ""
    """What is asked; empty where the kind has a question of its own."""
    detail: str = ""
    """Words that all right clips have and no other; empty where that does not tell them apart."""
    options: tuple[str, ...] = ()
    """Texts of the options, the right one first."""
    answer: str = ""
    """What is right, in words, where there are no options."""
    points: tuple[str, ...] = ()
    """Statements that a whole answer makes."""

    @property
    def keys(self) -> tuple[tuple[float, float] | None, ...]:
        """Of each clip, from where to where its key moments reach; None where it has none."""
        held = [[one for one in clip if one.key] for clip in self.clips]
        return tuple((ones[0].start, ones[-1].end) if ones else None for ones in held)


def read_story(text: str, wants: tuple[str, ...], clips: int, options: int) -> Story:
    """The story of a reply: an object of `clips` and exactly the fields in `wants`, or Refused."""
    try:
        row = json_of(text)
    except ValueError as problem:
        raise Refused("not JSON", str(problem)) from None
    wanted = {"clips", *wants}
    if not isinstance(row, dict) or row.keys() != wanted:
        found = ", ".join(sorted(map(str, row))) if isinstance(row, dict) else type(row).__name__
        raise Refused("not a story", f"want an object of {', '.join(sorted(wanted))}; found {found:.100}")
    held = row["clips"]
    if not isinstance(held, list) or len(held) != clips:
        count = len(held) if isinstance(held, list) else type(held).__name__
        raise Refused("not a story", f"{count} clips where {clips} were asked for")
    made = Story(
        clips=tuple(_clip(one, number) for number, one in enumerate(held, start=1)),
        question=_words(row, "question"),
        detail=_words(row, "detail"),
        options=_list(row, "options"),
        answer=_words(row, "answer"),
        points=_list(row, "points"),
    )
    if len(made.options) != options:
        raise Refused("not a story", f"{len(made.options)} options where {options} were asked for")
    return made


def _clip(value: Any, number: int) -> tuple[Moment, ...]:
    if not isinstance(value, list) or not value:
        raise Refused("not a story", f"clip {number} is {value!r:.60}; want a list of events")
    return tuple(_moment(one, number) for one in value)


def _moment(value: Any, number: int) -> Moment:
    known = {"start", "end", "see", "hear", "key"}
    if not isinstance(value, dict) or not {"start", "end", "see"} <= value.keys() <= known:
        raise Refused("not a story", f"clip {number} has the event {value!r:.80}; want start, end, see")
    start, end = (_seconds(value[name], f"{name} in clip {number}") for name in ("start", "end"))
    key = value.get("key", False)
    if not isinstance(key, bool):
        raise Refused("not a story", f"clip {number} has key {key!r:.40}; want true or false")
    hear = value.get("hear", "")
    return Moment(start=start, end=end, see=_words(value, "see"), hear=_plain(hear, "hear"), key=key)


def _words(row: Mapping[str, Any], name: str) -> str:
    """A field of words; empty where the object has no such field."""
    if name not in row:
        return ""
    said = _plain(row[name], name)
    if not said:
        raise Refused("not a story", f"{name} is empty")
    return said


def _plain(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise Refused("not a story", f"{name} is {value!r:.60}; want words")
    if len(value) > LONGEST:
        raise Refused("not a story", f"{name} has {len(value)} characters; want at most {LONGEST}")
    return " ".join(value.split())


def _list(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = row.get(name, [])
    if not isinstance(value, list) or (name in row and not value):
        raise Refused("not a story", f"{name} is {value!r:.60}; want a list of words")
    return tuple(_words({name: one}, name) for one in value)


def _seconds(value: Any, name: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < 1e6:  # NaN is in no range
        raise Refused("times", f"{name} is {value!r:.40}; want seconds")
    return float(value)
