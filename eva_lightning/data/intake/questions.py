"""Questions: a row becomes one of our tasks, by its shape.

A row that can not be asked is refused with its cause and column, never guessed at. Which file it stands in is
not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any, Literal

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.cells import cell, filled, is_empty, joined, part, value_of
from eva_lightning.data.intake.options import options_of
from eva_lightning.data.intake.row_clips import clips_of, seconds_of
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
from eva_lightning.records import NUMBERS, TEXTS, Answer, AnswerKind, Interval, Task, letters
from eva_lightning.scoring.intervals import intervals_in
from eva_lightning.timecode import parse_seconds

ASKS = ("human", "user")
ANSWERS = ("gpt", "assistant")


def tasks_of(
    row: Mapping[str, Any], shape: RowShape, videos: VideoFolder, name: str, number: int
) -> Iterator[Task]:
    """The tasks of a row. `name` is the source where no column says it, `number` counts the rows."""
    shape = _of_its_kind(row, shape)
    source = str(value_of(row, shape.source)) if shape.source else name
    own = str(number) if shape.id is None else str(value_of(row, shape.id))
    clips = clips_of(row, shape, videos)
    begin = (clips[0].begin or 0.0) if len(clips) == 1 else 0.0
    extra = _extra(row, shape, begin)
    pairs = list(_pairs(row, shape))
    for turn, (asked, answered) in enumerate(pairs, start=1):
        # Some files have the two characters \n.
        wording = PLACEHOLDER.sub("\n", asked).strip().replace("\\n", "\n")
        if not wording and _asked_in(shape) is not None:
            raise BadRow("empty question", f"{_asked_in(shape)} is empty")
        question, options = _options(row, shape, wording)
        if not question and _asked_in(shape) is not None:
            raise BadRow("empty question", f"{_asked_in(shape)} holds options and no question")
        answer = None if answered is None else _answer(answered, options, shape, begin)
        try:
            yield Task(
                id=f"{source}/{own}" + (f"/{turn}" if len(pairs) > 1 else ""),
                source=source,
                clips=clips,
                question=filled(shape.ask, row, question),
                options=options,
                wording=filled(shape.ask, row, wording) if shape.keep_wording else "",
                answer=answer and replace(answer, grounds=_grounds(row, shape, begin)),
                extra=extra,
            )
        except ValueError as problem:
            raise BadRow("no task", str(problem)) from None


def _of_its_kind(row: Mapping[str, Any], shape: RowShape) -> RowShape:
    """The shape for the kind of answer that this row has."""
    if shape.answer_kind_by is None:
        return shape
    said = str(value_of(row, shape.answer_kind_by))
    return replace(shape, answer_kind=shape.answer_kinds.get(said, shape.answer_kind))


def _asked_in(shape: RowShape) -> str | None:
    return shape.conversations or shape.question


def _asked(row: Mapping[str, Any], column: str) -> str:
    """The question of a row: text, or what the user of a chat says first."""
    if cell(row, column) == "":
        return ""
    value = value_of(row, column)
    if isinstance(held := literal(value), list):
        said = [one for one in held if isinstance(one, dict) and one.get("role", one.get("from")) in ASKS]
        value = said[0].get("content", said[0].get("value")) if said else value
    if not isinstance(value, str):
        raise BadRow(f"no {column}", f"{column}: {value!r:.60} is no text")
    return value


def _pairs(row: Mapping[str, Any], shape: RowShape) -> Iterator[tuple[str, Any]]:
    """Questions and their answers; None for one that is not known."""
    if shape.conversations is None:
        answered = None if shape.answer is None else value_of(row, shape.answer)
        yield "" if shape.question is None else _asked(row, shape.question), answered
        return
    column, turns = shape.conversations, value_of(row, shape.conversations)
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


def _options(row: Mapping[str, Any], shape: RowShape, wording: str) -> tuple[str, tuple[str, ...]]:
    """The question alone, and the texts of its options."""
    if shape.options is None:
        if shape.option_style == "auto":
            return find_options(wording)
        return split_options(wording, shape.option_style)
    if isinstance(shape.options, list):
        held: Any = [cell(row, column) for column in shape.options]
    else:
        held = cell(row, shape.options)
    return wording, options_of(held, str(shape.options))


def _answer(value: Any, options: tuple[str, ...], shape: RowShape, begin: float) -> Answer:
    column = shape.conversations or shape.answer or ""
    kind, value = shape.answer_kind, part(value, shape.answer_part, column)
    if kind not in TEXTS and (options or kind != "auto"):
        value = literal(value)
    if kind == "auto":
        several = isinstance(value, list)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        kind = ("multi" if several else "choice") if options else "number" if number else "text"
    try:
        if kind in ("choice", "multi", "order"):
            named = value if isinstance(value, list) else [value] if kind == "choice" else _listed(value)
            found = tuple(_letter(one, options, shape.answer_index, kind) for one in named)
            return Answer(kind=kind, value=found[0] if kind == "choice" and len(found) == 1 else found)
        if kind == "interval":
            ranges = _ranges(value, begin)
            return Answer(kind=kind, value=ranges[0] if len(ranges) == 1 else ranges)
        if kind in NUMBERS:
            return Answer(kind=kind, value=float(value))
        if shape.answer_kind == "auto" and is_a_letter(str(value)):
            raise BadRow("no options", f"answer {value!r} is a letter, but no options are found")
        return Answer(kind=kind, value=str(value).strip())
    except (ValueError, TypeError) as problem:
        raise BadRow("no answer", f"{column}: {problem}") from None


def _grounds(row: Mapping[str, Any], shape: RowShape, begin: float) -> tuple[Interval, ...]:
    """The seconds that are to be said with the answer; none where the row has none."""
    if shape.grounds is None:
        return ()
    held = cell(row, shape.grounds)
    if shape.grounds_part is None:
        held = value_of(row, shape.grounds)
    elif isinstance(held := joined(held), str):
        if not re.search(shape.grounds_part, held, re.DOTALL):
            return ()
        held = part(held, shape.grounds_part, shape.grounds)
    try:
        return () if is_empty(held) else _ranges(literal(held), begin)
    except ValueError as problem:
        raise BadRow(f"no {shape.grounds}", f"{shape.grounds}: {problem}") from None


def _ranges(value: Any, begin: float) -> tuple[Interval, ...]:
    """One range or several: [start, end], a list of them, or text that names nothing but times."""
    if isinstance(value, str):
        found = intervals_in(value)
    else:
        nested = isinstance(value, (list, tuple)) and all(isinstance(one, (list, tuple)) for one in value)
        found = [_interval(one) for one in (value if nested else [value])]
    if not found:
        raise ValueError("there is no range of seconds")
    return tuple((first - begin, last - begin) for first, last in found)


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


def _letter(value: Any, options: tuple[str, ...], first: int | Literal["A"] | None, kind: AnswerKind) -> str:
    known = letters(len(options))
    if kind == "order" and not options and str(value).isdecimal():
        return str(value)  # of the clips, which are numbered
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
    kept = {column: cell(row, column) for column in shape.keep}
    extra = {column: _jsonable(value) for column, value in kept.items() if value is not None}
    if shape.points is not None:
        points = literal(value_of(row, shape.points))
        if not isinstance(points, list) or not all(isinstance(one, str) and one.strip() for one in points):
            raise BadRow(f"no {shape.points}", f"{shape.points}: {points!r:.60} is no list of statements")
        extra["points"] = points
    category = cell(row, shape.category)
    if not is_empty(category):
        extra["category"] = _category(category)
    duration = seconds_of(row, shape.duration)
    if duration is not None:
        extra["duration"] = duration
    held: Any = literal(cell(row, shape.evidence))
    if held != [] and not is_empty(held):
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
