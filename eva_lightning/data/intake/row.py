"""A row of somebody else's file, and what must be known of that file to find its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eva_lightning.data.intake.bad_row import BadRow


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row, and where it stands."""

    place: str
    """What to call it in a message: "file.jsonl:12", "file.parquet row 12"."""
    number: int
    """Its number in the file, from 1; in text files its line."""
    values: Mapping[str, Any]
    """What it holds, by column."""
    problem: BadRow | None = None
    """Why it holds nothing, where those behind it can be read all the same; None for a sound row."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A JSON object in a file of its own, with a value for some column of each row."""

    file: str
    """The file, counted from the folder of the rows."""
    key: str
    """Column of the rows whose text is the key."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """What must be known of a file beside its path."""

    key: str | None = None
    """Key of the list of rows in a JSON file that holds an object; None where the file is the list."""
    keyed: str | None = None
    """Column that the keys of a JSON object become, where each value of it is a row; None where none is."""
    line: str | None = None
    """How a line of a text file is made: columns in braces, and between them what parts them, as in
    "{video} {times}##{sentence}"; None where the file is no such text."""
    each: list[str] = field(default_factory=list)
    """Columns of lists of one length: each place of them is a row of its own, with all other columns."""
    where: dict[str, str | list[str]] = field(default_factory=dict)
    """Rows to take: those whose column is this text, or one of these; the others are no questions here."""
    beside: dict[str, Beside] = field(default_factory=dict)
    """More columns from files of their own, by name."""
    split: str = "train"
    """Split of a `datasets` id or folder."""
    subset: str | None = None
    """Name of the configuration of a `datasets` id; None where there is one only."""
