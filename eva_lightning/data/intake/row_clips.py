"""The clips of a row: which files it names, and which seconds of them.

A row may name one video or several, or pieces of one; each has its own begin and end, if the row says them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.cells import cell, filled, is_empty, part, value_of
from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.data.intake.video_folder import Cut, VideoFolder
from eva_lightning.data.intake.wording import literal
from eva_lightning.records import Clip
from eva_lightning.timecode import parse_seconds


def clips_of(row: Mapping[str, Any], shape: RowShape, videos: VideoFolder) -> tuple[Clip, ...]:
    """The clips of a task, in the order in which the row names them."""
    names = _names(row, shape)
    cuts = _cuts(row, shape, len(names))
    try:
        return videos.clips(names * len(cuts) if len(names) == 1 else names, cuts)
    except ValueError as problem:
        columns = shape.pieces or f"{shape.begin}, {shape.end}"
        raise BadRow("no clip", f"{columns}: {problem}") from None


def seconds_of(row: Mapping[str, Any], column: str | None) -> float | None:
    """The second that a column says; None where it says nothing."""
    return _second(cell(row, column), column)


def _second(value: Any, column: str | None) -> float | None:
    if is_empty(value):
        return None
    try:
        return parse_seconds(value)
    except ValueError as problem:
        raise BadRow(f"no {column}", f"{column}: {problem}") from None


def _names(row: Mapping[str, Any], shape: RowShape) -> list[str]:
    """Paths below the folder of videos."""
    if isinstance(shape.video, list):
        column, several = ", ".join(shape.video), [value_of(row, one) for one in shape.video]
    else:
        column, named = shape.video, literal(value_of(row, shape.video))
        several = named if isinstance(named, list) else [named]
    paths = [one.get("path") if isinstance(one, dict) else one for one in several]  # `datasets` has objects
    if not paths or not all(isinstance(one, (str, int)) and one != "" for one in paths):
        raise BadRow(f"no {column}", f"{column}: {several!r:.60} is no path")
    found = [part(str(one), shape.video_part, column) for one in paths]
    return [filled(shape.video_path, row, one) for one in found]


def _cuts(row: Mapping[str, Any], shape: RowShape, count: int) -> list[Cut]:
    """Begin and end of each clip."""
    if shape.pieces is not None:
        return _pieces(row, shape.pieces, count)
    begins, ends = (_each(row, column, count) for column in (shape.begin, shape.end))
    return list(zip(begins, ends, strict=True))


def _each(row: Mapping[str, Any], column: str | None, count: int) -> list[float | None]:
    """A second for each clip: the same for all, or a list of them."""
    held = literal(cell(row, column))
    if not isinstance(held, list):
        return [_second(held, column)] * count
    if len(held) != count:
        raise BadRow(f"no {column}", f"{column}: {len(held)} seconds for {count} videos")
    return [_second(one, column) for one in held]


def _pieces(row: Mapping[str, Any], columns: str | list[str], count: int) -> list[Cut]:
    """The pieces of one video, in order; the keys of an object are their numbers."""
    if count != 1:
        raise BadRow("no pieces", f"{columns}: {count} videos; pieces are of one")
    if isinstance(columns, list):
        held: Any = [value_of(row, one) for one in columns]
    else:
        held = literal(value_of(row, columns))
    if isinstance(held, dict):
        if sorted(held) != sorted(str(place) for place in range(1, len(held) + 1)):
            raise BadRow(
                "no pieces", f"{columns}: has the keys {', '.join(held)}; want 1, 2, 3... and no gap"
            )
        held = [held[str(place)] for place in range(1, len(held) + 1)]
    if not isinstance(held, list) or not held:
        raise BadRow("no pieces", f"{columns}: {held!r:.60} is no list of ranges")
    return [_hull(one, columns) for one in held]


def _hull(value: Any, columns: str | list[str]) -> Cut:
    """From the first to the last second of a piece: [start, end], or a list of them."""
    value = literal(value)
    nested = isinstance(value, list) and bool(value) and all(isinstance(one, list) for one in value)
    ranges = value if nested else [value]
    try:
        times = [(parse_seconds(start), parse_seconds(end)) for start, end in ranges]
    except (ValueError, TypeError) as problem:
        raise BadRow("no pieces", f"{columns}: {value!r:.60} is no range of seconds ({problem})") from None
    return min(start for start, _ in times), max(end for _, end in times)
