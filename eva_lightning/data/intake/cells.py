"""Cells: what a row holds under a column, entered by dots, put together in braces, cut by a pattern.

`gold.letter` goes into the object of a column, `spans.{qid}` to the key that another column says, and
`{video}_{qid}` is text put together of columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isnan
from typing import Any

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.wording import literal

_BRACES = re.compile(r"\{([^{}]*)\}")


def is_empty(value: Any) -> bool:
    """Whether a cell holds nothing. Tables write NaN for that."""
    return value is None or value == "" or (isinstance(value, float) and isnan(value))


def cell(row: Mapping[str, Any], column: str | None) -> Any:
    """What a column holds; None where there is nothing.

    >>> row = {"gold": {"letter": "B", "7": [1, 2]}, "a.b": 1, "id": 7}
    >>> [cell(row, column) for column in ("gold.letter", "a.b", "a.c", "gold.{id}", "v{id}")]
    ['B', 1, None, [1, 2], 'v7']
    """
    return None if column is None else _inside(row, column, row)


def _inside(held: Mapping[str, Any], column: str, row: Mapping[str, Any]) -> Any:
    """What a column of an object inside a row holds, or of the row itself."""
    if column in held:
        return held[column]
    if "{" in column and "." not in column:
        name = filled(column, row)
        return name if held is row else held.get(name)
    outer, _, inner = column.partition(".")
    deeper = literal(held.get(filled(outer, row) if "{" in outer else outer)) if inner else None
    return _inside(deeper, inner, row) if isinstance(deeper, Mapping) else None


def value_of(row: Mapping[str, Any], column: str) -> Any:
    """What a column holds, or BadRow: empty cells are none."""
    value = cell(row, column)
    if is_empty(value):
        known = column in row or column.partition(".")[0] in row
        there = "is empty" if known else f"is none of its columns {', '.join(map(str, row))}"
        raise BadRow(f"no {column}", f"{column} {there}")
    return value


def filled(form: str, row: Mapping[str, Any], value: object = "") -> str:
    """A text with columns in its braces; empty braces are a value.

    >>> filled("{set}/{}.mp4", {"set": "a"}, 7)
    'a/7.mp4'
    """
    return _BRACES.sub(lambda found: str(value_of(row, found[1]) if found[1] else value), form)


def part(value: Any, pattern: str | None, column: str) -> Any:
    """The part of a text that a pattern finds: its first group, or all that it matches.

    >>> part("<think>...</think><answer>B</answer>", "<answer>(.*)</answer>", "solution")
    'B'
    """
    if pattern is None or not isinstance(value, str):
        return value
    found = re.search(pattern, value, re.DOTALL)
    if found is None:
        raise BadRow(f"no {column}", f"{column}: {value!r:.60} holds nothing like {pattern}")
    return found[1] if found.re.groups else found[0]
