"""The options of a question in a column of their own: a list, an object by letter, or the text of either.

Options inside the question are in wording.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.cells import is_empty
from eva_lightning.data.intake.wording import literal
from eva_lightning.records import letters


def options_of(value: Any, column: str) -> tuple[str, ...]:
    """The texts of the options; none where the column is empty, for an open question among others.

    >>> options_of("{'A': 'red', 'B': 'blue'}", "options"), options_of(["(A) red", "(B) blue", ""], "options")
    (('red', 'blue'), ('red', 'blue'))
    """
    held = literal(value)
    if isinstance(held, dict):
        held = _by_letter({str(key): one for key, one in held.items()}, column)
    listed = [] if is_empty(held) else held
    if not isinstance(listed, list):
        raise BadRow("no options", f"{column}: {held!r:.60} is no list of options")
    while listed and is_empty(listed[-1]):  # rows of a table have as many columns as the longest wants
        listed = listed[:-1]
    if not listed:
        return ()
    if any(is_empty(one) or not isinstance(one, (str, int, float)) for one in listed) or len(listed) < 2:
        wanted = "is no list of two or more options without a gap"
        raise BadRow("no options", f"{column}: {held!r:.60} {wanted}")
    return _bare([str(one).strip() for one in listed])


def _by_letter(held: Mapping[str, Any], column: str) -> list[Any]:
    """The options of an object.

    Keys of one letter are the letters of the options: none may be missing, or those behind it would move up,
    and a gold letter mean another one.
    """
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
