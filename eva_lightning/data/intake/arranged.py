"""Arranged rows: what stands beside them is put in, lists in them are spread, those not asked for left out.

What a row means is not known here; a row that can not be arranged is one with a problem.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.cells import value_of
from eva_lightning.data.intake.row import Row, Table
from eva_lightning.data.intake.wording import literal
from eva_lightning.faults import UsageError
from eva_lightning.files.foreign_json import json_problem


def arranged(rows: Iterable[Row], table: Table, folder: Path) -> Iterator[Row]:
    """The rows as a table wants them. Files beside them are looked for in `folder`."""
    more = {name: _object(folder / one.file) for name, one in table.beside.items()}
    count = 0
    for row in rows:
        if row.problem is not None:
            yield row
            continue
        try:
            if not _wanted(row.values, table):
                continue
            whole = {**row.values, **_joined(row.values, table, more)}
            pieces = list(_spread(whole, table.each)) if table.each else [whole]
        except BadRow as problem:
            yield replace(row, values={}, problem=problem)
            continue
        for place, values in enumerate(pieces, start=1):
            count += 1
            if table.each:
                yield Row(place=f"{row.place}, number {place}", number=count, values=values)
            else:
                yield replace(row, values=values)


def _wanted(values: Mapping[str, Any], table: Table) -> bool:
    """Whether a row is among those to take."""
    return all(
        str(value_of(values, column)) in ([asked] if isinstance(asked, str) else asked)
        for column, asked in table.where.items()
    )


def _joined(values: Mapping[str, Any], table: Table, more: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The columns that other files have for a row."""
    found = {}
    for name, one in table.beside.items():
        key = str(value_of(values, one.key))
        if key not in more[name]:
            raise BadRow(f"no {name}", f"{one.file} has no {key!r}, which {one.key} names")
        found[name] = more[name][key]
    return found


def _spread(values: Mapping[str, Any], columns: list[str]) -> Iterator[dict[str, Any]]:
    """A row for each place of its lists."""
    lists = [literal(value_of(values, column)) for column in columns]
    if not all(isinstance(one, list) for one in lists) or len({len(one) for one in lists}) != 1:
        held = ", ".join(str(len(one)) if isinstance(one, list) else repr(one)[:40] for one in lists)
        raise BadRow("no lists", f"{', '.join(columns)}: want lists of one length, not {held}")
    for place in zip(*lists, strict=True):
        yield {**values, **dict(zip(columns, place, strict=True))}


def _object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file; table.beside names it") from None
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{path}: not JSON ({json_problem(problem)})") from None
    if not isinstance(whole, dict):
        raise UsageError(f"{path}: want an object by key, not {type(whole).__name__}")
    return whole
