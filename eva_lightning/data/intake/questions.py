"""A row of questions to our tasks, by its shape. A row that can not be asked is refused with its cause and
column, never guessed at. Which file it stands in is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, isnan
from typing import Any, Literal

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.data.intake.video_folder import VideoFolder
from eva_lightning.data.intake.wording import (
    PLACEHOLDER,
    find_options,
    is_a_letter,
    letter_of,
    literal,
    span,
    split_options,
)
from eva_lightning.records import Answer, Clip, Task, letters
from eva_lightning.timecode import parse_seconds

ASKS = ("human", "user")
ANSWERS = ("gpt", "assistant")


def tasks_of(
    row: Mapping[str, Any], shape: RowShape, videos: VideoFolder, name: str, number: int
) -> Iterator[Task]:
    """The tasks of a row. `name` is the source where no column says it, `number` counts the rows."""
    source = str(_value(row, shape.source)) if shape.source else name
    own = str(number) if shape.id is None else str(_value(row, shape.id))
    begin, end = _seconds(row, shape.begin), _seconds(row, shape.end)
    clips = _clips(row, shape, videos, begin, end)
    extra = _extra(row, shape, begin or 0.0)
    pairs = list(_pairs(row, shape))
    for turn, (asked, answered) in enumerate(pairs, start=1):
        # Some files have the two characters \n.
        wording = PLACEHOLDER.sub("\n", asked).strip().replace("\\n", "\n")
        if not wording:
            raise BadRow("empty question", f"{_asked_in(shape)} is empty")
        question, options = _options(row, shape, wording)
        if not question:
            raise BadRow("empty question", f"{_asked_in(shape)} holds options and no question")
        try:
            yield Task(
                id=f"{source}/{own}" + (f"/{turn}" if len(pairs) > 1 else ""),
                source=source,
                clips=clips,
                question=question,
                options=options,
                wording=wording if shape.keep_wording else "",
                answer=None if answered is None else _answer(answered, options, shape, begin or 0.0),
                extra=extra,
            )
        except ValueError as problem:
            raise BadRow("no task", str(problem)) from None


def _asked_in(shape: RowShape) -> str:
    return shape.conversations or shape.question


def _empty(value: Any) -> bool:
    """Whether a cell holds nothing. Tables write NaN for that."""
    return value is None or value == "" or (isinstance(value, float) and isnan(value))


def _cell(row: Mapping[str, Any], column: str | None) -> Any:
    """What a column holds; a dot goes into the object that a column holds. None where there is nothing.

    >>> row = {"gold": {"letter": "B"}, "a.b": 1}
    >>> _cell(row, "gold.letter"), _cell(row, "a.b"), _cell(row, "a.c")
    ('B', 1, None)
    """
    if column is None or column in row:
        return None if column is None else row[column]
    outer, _, inner = column.partition(".")
    held = literal(row.get(outer)) if inner else None
    return _cell(held, inner) if isinstance(held, Mapping) else None


def _value(row: Mapping[str, Any], column: str) -> Any:
    """What a column holds, or BadRow: empty cells are none."""
    value = _cell(row, column)
    if _empty(value):
        known = column in row or column.partition(".")[0] in row
        there = "is empty" if known else f"is none of its columns {', '.join(map(str, row))}"
        raise BadRow(f"no {column}", f"{column} {there}")
    return value


def _asked(row: Mapping[str, Any], column: str) -> str:
    """The question of a row: text, or what the user of a chat says first."""
    if _cell(row, column) == "":
        return ""
    value = _value(row, column)
    if isinstance(held := literal(value), list):
        said = [one for one in held if isinstance(one, dict) and one.get("role", one.get("from")) in ASKS]
        value = said[0].get("content", said[0].get("value")) if said else value
    if not isinstance(value, str):
        raise BadRow(f"no {column}", f"{column}: {value!r:.60} is no text")
    return value


def _seconds(row: Mapping[str, Any], column: str | None) -> float | None:
    value = _cell(row, column)
    if _empty(value):
        return None
    try:
        return parse_seconds(value)
    except ValueError as problem:
        raise BadRow(f"no {column}", f"{column}: {problem}") from None


def _pairs(row: Mapping[str, Any], shape: RowShape) -> Iterator[tuple[str, Any]]:
    """Questions and their answers; None for one that is not known."""
    if shape.conversations is None:
        answered = None if shape.answer is None else _value(row, shape.answer)
        yield _asked(row, shape.question), answered
        return
    column, turns = shape.conversations, _value(row, shape.conversations)
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise BadRow("no conversation", f"{column} is no list of turns")
    said = [(turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))) for turn in turns]
    said = said[1:] if said[0][0] == "system" else said
    for place, (who, text) in enumerate(said):
        if who not in (ANSWERS if place % 2 else ASKS) or not isinstance(text, str):
            raise BadRow(
                "no conversation", f"{column}: turn {place + 1} is of {who!r}; want human and gpt in turn"
            )
    if len(said) % 2:
        raise BadRow("no conversation", f"{column}: its last question has no answer")
    yield from ((said[i][1], said[i + 1][1]) for i in range(0, len(said), 2))


def _clips(
    row: Mapping[str, Any], shape: RowShape, videos: VideoFolder, begin: float | None, end: float | None
) -> tuple[Clip, ...]:
    named = literal(_value(row, shape.video))
    several = named if isinstance(named, list) else [named]
    names = [one.get("path") if isinstance(one, dict) else one for one in several]  # `datasets` has objects
    if not names or not all(isinstance(one, (str, int)) and one != "" for one in names):
        raise BadRow(f"no {shape.video}", f"{shape.video}: {named!r:.60} is no path")
    try:
        return videos.clips([shape.video_path.replace("{}", str(one)) for one in names], begin, end)
    except ValueError as problem:
        raise BadRow("no clip", f"{shape.begin}, {shape.end}: {problem}") from None


def _options(row: Mapping[str, Any], shape: RowShape, wording: str) -> tuple[str, tuple[str, ...]]:
    """The question alone, and the texts of its options."""
    if shape.options is None:
        if shape.option_style == "auto":
            return find_options(wording)
        return split_options(wording, shape.option_style)
    if isinstance(shape.options, list):
        held: Any = [_cell(row, column) for column in shape.options]
    else:
        held = literal(_cell(row, shape.options))
    if isinstance(held, dict):
        held = _by_letter(held, str(shape.options))
    listed = [] if _empty(held) else held
    if not isinstance(listed, list):
        raise BadRow("no options", f"{shape.options}: {held!r:.60} is no list of options")
    while listed and _empty(listed[-1]):  # rows of a table have as many columns as the longest wants
        listed = listed[:-1]
    if not listed:
        return wording, ()  # an open question among others
    if any(_empty(one) or not isinstance(one, (str, int, float)) for one in listed) or len(listed) < 2:
        wanted = "is no list of two or more options without a gap"
        raise BadRow("no options", f"{shape.options}: {held!r:.60} {wanted}")
    return wording, _bare([str(one).strip() for one in listed])


def _by_letter(held: Mapping[str, Any], column: str) -> list[Any]:
    """The options of an object. Keys of one letter are the letters of the options: none may be missing, or
    those behind it would move up, and a gold letter mean another one."""
    if any(len(key) != 1 for key in held):
        return list(held.values())
    keys = sorted(held, key=str.upper)
    if "".join(keys).isalpha() and tuple(key.upper() for key in keys) != letters(len(keys)):
        raise BadRow("no options", f"{column}: has options {', '.join(keys)}; want A, B, C... and no gap")
    return [held[key] for key in keys]


def _bare(options: Sequence[str]) -> tuple[str, ...]:
    """Options without the letters that some files write before each."""
    lettered = zip(letters(len(options)), options, strict=True)
    found = [re.fullmatch(rf"\(?{letter}[.:)]\s*(.+)", option, re.DOTALL) for letter, option in lettered]
    if all(found):
        return tuple(one[1].strip() for one in found if one)
    return tuple(options)


def _answer(value: Any, options: tuple[str, ...], shape: RowShape, begin: float) -> Answer:
    kind = shape.answer_kind
    if kind != "text" and (options or kind != "auto"):
        value = literal(value)
    if kind == "auto":
        several = isinstance(value, list)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        kind = ("multi" if several else "choice") if options else "number" if number else "text"
    column = shape.conversations or shape.answer
    try:
        if kind in ("choice", "multi", "order"):
            named = value if isinstance(value, list) else [value] if kind == "choice" else _listed(value)
            found = tuple(_letter(one, options, shape.answer_index) for one in named)
            return Answer(kind=kind, value=found[0] if kind == "choice" and len(found) == 1 else found)
        if kind == "interval":
            first, last = _interval(value)
            return Answer(kind=kind, value=(first - begin, last - begin))
        if kind == "number":
            return Answer(kind=kind, value=float(value))
        if shape.answer_kind == "auto" and is_a_letter(str(value)):
            raise BadRow("no options", f"answer {value!r} is a letter, but no options are found")
        return Answer(kind=kind, value=str(value).strip())
    except (ValueError, TypeError) as problem:
        raise BadRow("no answer", f"{column}: {problem}") from None


def _listed(value: Any) -> list[str]:
    """The letters of "A, C" or "AC".

    >>> _listed("A, C"), _listed("CA"), _listed("red; blue"), _listed("2->1")
    (['A', 'C'], ['C', 'A'], ['red', 'blue'], ['2', '1'])
    """
    text = str(value).strip()
    return (
        list(text)
        if re.fullmatch(r"[A-Z]{2,}", text)
        else [one for one in re.split(r"\s*(?:->|[,;>])\s*", text) if one]
    )


def _letter(value: Any, options: tuple[str, ...], first: int | Literal["A"] | None) -> str:
    known = letters(len(options))
    if first is None:
        return letter_of(str(value), options)
    if first == "A" and (letter := str(value).strip().upper()) in known:
        return letter
    place = -1 if first == "A" else int(value) - first
    if not 0 <= place < len(options):
        raise BadRow(
            "no such option", f"answer {value!r} counts from {first}, but there are {len(options)} options"
        )
    return known[place]


def _interval(value: Any) -> tuple[float, float]:
    if isinstance(value, (list, tuple)) and len(value) == 2 and not isinstance(value[0], (list, tuple)):
        return parse_seconds(value[0]), parse_seconds(value[1])
    if isinstance(value, str):
        return span(value)
    raise ValueError(f"{value!r:.60} is no range of seconds: want [start, end] or MM:SS-MM:SS")


def _jsonable(value: Any) -> Any:
    """A value as JSON can hold it: dates and the like become text, numbers that are none become null."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(one) for one in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def _extra(row: Mapping[str, Any], shape: RowShape, begin: float) -> dict[str, Any]:
    """What is kept beside the question. Evidence counts from the clip's begin, as all time does."""
    kept = {column: _cell(row, column) for column in shape.keep}
    extra = {column: _jsonable(value) for column, value in kept.items() if value is not None}
    category = _cell(row, shape.category)
    if not _empty(category):
        extra["category"] = _category(category)
    duration = _seconds(row, shape.duration)
    if duration is not None:
        extra["duration"] = duration
    held: Any = literal(_cell(row, shape.evidence))
    if held != [] and not _empty(held):
        nested = isinstance(held, list) and all(isinstance(one, (list, tuple)) for one in held)
        try:
            spans = [_interval(one) for one in (held if nested else [held])]
        except ValueError as problem:
            raise BadRow("no evidence", f"{shape.evidence}: {problem}") from None
        if any(last < first for first, last in spans):
            raise BadRow("no evidence", f"{shape.evidence}: {held!r:.60} ends before it begins")
        extra["evidence"] = [[first - begin, last - begin] for first, last in spans]
    return extra


def _category(value: Any) -> str:
    """The kind of a question; some files hold a list of them, or the text of one.

    >>> _category("['entity recognition', 'reasoning']"), _category("SR")
    ('entity recognition, reasoning', 'SR')
    """
    value = literal(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
