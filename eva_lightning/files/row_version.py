"""The version of a row: by which form of the records it was written.

Each row speaks for itself, so files may be put together. A row of version 1 says nothing; later ones say
`version`. Raise VERSION when a record gains a field or a field another meaning, and put into OLDER how a row
of the version before is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar

from eva_lightning.files.encoding import FieldError, decode, encode

T = TypeVar("T")

VERSION = 1
"""Of the rows that are written now."""

OLDER: Mapping[int, Callable[[str, dict[str, Any]], dict[str, Any]]] = {}
"""For a version, what makes a row of it one of the next; it is told the name of the record's class."""


def to_row(record: Any) -> Any:
    """A record as JSON values, with its version where that says anything; what is no record has none."""
    row = encode(record)
    return row if VERSION == 1 or not is_dataclass(record) else {"version": VERSION, **row}


def from_row(cls: type[T], row: Any) -> T:
    """The record that `to_row` made, now or in an earlier version; or FieldError."""
    return decode(cls, _current(cls, row) if isinstance(row, dict) else row)


def _current(cls: type[Any], row: Mapping[str, Any]) -> dict[str, Any]:
    version = row.get("version", 1)
    if type(version) is not int or version < 1:
        raise FieldError(f"version: {version!r} is not a whole number from 1 on")
    if version > VERSION:
        raise FieldError(
            f"version: {version}, and rows are known up to {VERSION}; install the eva_lightning that wrote it"
        )
    rest = {key: value for key, value in row.items() if key != "version"}
    for number in range(version, VERSION):
        rest = OLDER[number](cls.__name__, rest)
    return rest
