"""Intervals: which ranges of seconds a text names, and how they meet the gold ones.

What counts is the union: ranges that overlap or touch are one, and a second that is said twice counts once. A
range that is empty or runs backwards names no second and is left out; where none is left, nothing was said.
What lies outside of the clip was said all the same: it is in the union, and costs. Neither order nor number
of ranges matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eva_lightning.records import Interval
from eva_lightning.timecode import parse_seconds


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How ranges that were said meet gold ones, as shares between 0 and 1."""

    iou: float
    """Seconds that are both, of those that are either (intersection over union)."""
    precision: float
    """Seconds that are both, of those that were said (intersection over prediction, IoP); 0 if none was."""
    recall: float
    """Seconds that are both, of those that are gold."""
    said: bool = True
    """Whether any range was said; VUE-TR's precision is of the questions where one was."""


def overlap(said: Iterable[Interval], gold: Iterable[Interval]) -> Overlap:
    """How well they meet; each is taken as the union of its ranges.

    >>> overlap([(15.0, 25.0)], [(10.0, 20.0)])
    Overlap(iou=0.3333333333333333, precision=0.5, recall=0.5, said=True)
    >>> overlap([(5.0, 6.0), (0.0, 4.0)], [(0.0, 2.0), (1.0, 4.0), (9.0, 10.0)]).iou
    0.6666666666666666
    """
    ours, theirs = union(said), union(gold)
    told, asked, both = _length(ours), _length(theirs), _length(_shared(ours, theirs))
    if not told or not asked:
        return Overlap(iou=0.0, precision=0.0, recall=0.0, said=bool(told))
    either = _length(union([*ours, *theirs]))
    return Overlap(iou=both / either, precision=both / told, recall=both / asked)


def union(ranges: Iterable[Interval]) -> list[Interval]:
    """The same seconds as ranges apart from each other, in order.

    >>> union([(5, 7), (1, 3), (3, 4), (6, 6.5), (9, 8)])
    [(1, 4), (5, 7)]
    """
    merged: list[Interval] = []
    for start, end in sorted(one for one in ranges if one[0] < one[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _shared(ours: Sequence[Interval], theirs: Sequence[Interval]) -> list[Interval]:
    """The seconds of both, each in order and apart."""
    shared, i, j = list[Interval](), 0, 0
    while i < len(ours) and j < len(theirs):
        start, end = max(ours[i][0], theirs[j][0]), min(ours[i][1], theirs[j][1])
        if start < end:
            shared.append((start, end))
        if ours[i][1] <= theirs[j][1]:
            i += 1
        else:
            j += 1
    return shared


def _length(ranges: Iterable[Interval]) -> float:
    return sum(end - start for start, end in ranges)


def intervals_in(text: str) -> list[Interval]:
    """The ranges of an answer that is nothing but times: its times, two by two, whatever stands between.

    ValueError says what is wrong: an odd number of times, or one that is none.

    >>> intervals_in("from 1:05 to 1:10.5 and [80, 90]")
    [(65.0, 70.5), (80.0, 90.0)]
    """
    found = _TIMES.findall(text)
    if not found or len(found) % 2:
        raise ValueError(f"{text[:40]!r} does not name two times")
    times = [parse_seconds(one) for one in found]
    return list(zip(times[::2], times[1::2], strict=True))


def apart(text: str) -> tuple[list[Interval], str]:
    """The first ranges that a text names, and the rest of it: "From 3 to 7.5, B" says a time and an answer.

    Several ranges in a row are joined by "and" or ";", or by a comma where they are in brackets.

    >>> apart("From 3 to 7.5 s, B"), apart("a dog (0:03-0:07; 9 to 10)"), apart("[[1, 2], [4, 5]] 3 times")
    (([(3.0, 7.5)], 'B'), ([(3.0, 7.0), (9.0, 10.0)], 'a dog'), ([(1.0, 2.0), (4.0, 5.0)], '3 times'))
    >>> apart("B")
    ([], 'B')
    """
    found = _RANGES.search(text)
    if found is None:
        return [], text.strip()
    try:
        ranges = intervals_in(found[0])
    except ValueError:  # hundreds of digits
        ranges = []
    before, after = text[: found.start()].rstrip(" \t\n,:;([*"), text[found.end() :]
    return ranges, f"{before} {_CLOSED.sub('', after, count=1).strip()}".strip()


# Possessive throughout, and no number is entered in its middle: a long run is walked once.
_TIME = r"(?<![\d:.])\d++(?::\d++){0,2}+(?:\.\d++)?+(?:\s*+(?:seconds?|secs?|s)\b)?+"
_PAIR = rf"{_TIME}\s*+(?:-|–|—|,|\b(?:to|until|till|and)\b)\s*+{_TIME}"
_PLAIN = rf"(?:\b(?:from|between)\s++)?+{_PAIR}"
_FRAMED = rf"[\[(]\s*+(?:from\s++)?+{_PAIR}\s*+[\])]"
_RANGES = re.compile(
    rf"(?:\[(?=\s*+[\[(]))?+{_FRAMED}(?:\s*+(?:[,;]|\band\b)?+\s*+{_FRAMED})*+\]?+"
    rf"|{_PLAIN}(?:(?:\s*+;\s*+|\s++and\s++){_PLAIN})*+",
    re.IGNORECASE,
)
_CLOSED = re.compile(r"\s*+[\])]*+\**+[,:;.]?+")
_TIMES = re.compile(r"\d+(?::\d+)+(?:\.\d+)?|\d+(?:\.\d+)?")
