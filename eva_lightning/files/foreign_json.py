"""JSON that others wrote (a model, a teacher, a judge, another program), read within bounds.

What is accepted is finite, flat enough and made of whole characters, so that a file can hold it and give it
back equal. What is refused says why in a line. Rows of our own files are checked by encoding.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

DEPTH = 32
"""Lists and objects within each other. Python's own limit is its stack, and writers stand deeper in it."""

DIGITS = 18
"""Of a whole number: what fits into 64 bits wherever it goes."""


class Unfit(ValueError):
    """JSON, but not to be accepted; says why."""


def read_json(text: str) -> Any:
    """The one value that a text is; ValueError says in a line what else it is.

    >>> read_json(' {"a": [1, 2.5]} ')
    {'a': [1, 2.5]}
    """
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as problem:
        raise Unfit(json_problem(problem)) from None
    return _fit(value)


def read_json_at(text: str, position: int) -> tuple[Any, int]:
    """The value that begins at a position of a text, and where it ends; ValueError if there is none."""
    try:
        value, end = _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as problem:
        raise Unfit(problem.msg) from None
    except (ValueError, RecursionError) as problem:
        raise Unfit(json_problem(problem)) from None
    return _fit(value), end


def json_problem(problem: Exception) -> str:
    """What is wrong with a text that is no JSON, or more than is read of it."""
    if isinstance(problem, json.JSONDecodeError):
        return f"{problem.msg} at column {problem.colno}"
    if isinstance(problem, Unfit):
        return str(problem)
    return "nested too deeply" if isinstance(problem, RecursionError) else "a number of thousands of digits"


def unfit(value: Any) -> str | None:
    """Why no file should hold a value that was read from JSON; None if one can.

    >>> unfit({"a": [1.5, "b"]}), unfit([float("inf")])
    (None, 'inf is no number in JSON')
    """
    level, depth = [value], 0
    while level:
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one.keys()
                below += one.values()
            elif isinstance(one, list):
                below += one
            elif isinstance(one, float) and not math.isfinite(one):
                return f"{one} is no number in JSON"
            elif isinstance(one, str) and not is_whole(one):
                return "half a character"
        depth += any(isinstance(one, (dict, list)) for one in level)
        if depth > DEPTH:
            return f"nested more than {DEPTH} deep"
        level = below
    return None


def is_whole(text: str) -> bool:
    """Whether a file can hold a text: JSON may spell a character in halves, and one half alone is none."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fit(value: Any) -> Any:
    why = unfit(value)
    if why is not None:
        raise Unfit(why)
    return value


def _constant(name: str) -> NoReturn:
    raise Unfit(f"{name} is no number in JSON")


def _whole_number(text: str) -> int:
    digits = len(text.removeprefix("-"))
    if digits > DIGITS:
        raise Unfit(f"a whole number of {digits} digits; at most {DIGITS} are read")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Unfit(f"{text:.40} is too large for a number")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, if it is clear what it says."""
    held = dict(pairs)
    if len(held) < len(pairs):
        raise Unfit(f"{next(_repeated(pairs))!r:.60} stands there twice")
    return held


def _repeated(pairs: list[tuple[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            yield key
        seen.add(key)


_DECODER = json.JSONDecoder(
    parse_constant=_constant, parse_int=_whole_number, parse_float=_number, object_pairs_hook=_once
)
