"""Columns: records as typed rows of Parquet and `datasets`, and back without loss.

Driven by the type hints of the records, as `files.encoding` is. What a column can not hold has a form of its
own: a part of a message is {text, frame}, of which one is null; a mapping a list of {name, ...}; what may be
anything (arguments of a call, extra fields of a task, a gold answer's value) is JSON.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from eva_lightning.data.intake.tables import needed
from eva_lightning.files.atomic import appearing
from eva_lightning.files.encoding import FieldError, decode, encode
from eva_lightning.files.full_disk import writing
from eva_lightning.records import FrameRef, Part, Trajectory

T = TypeVar("T")
PLAIN = {str: "string", int: "int64", float: "float64", bool: "bool_"}
GROUP = 256
"""Rows that are written, and later read, at once."""


def write_parquet(path: str | Path, records: Iterable[Trajectory]) -> int:
    """Write a whole file at once: it appears complete or not at all. Returns the number of rows."""
    arrow, parquet = needed("pyarrow"), needed("pyarrow.parquet")
    path, count, held = Path(path), 0, list[dict[str, Any]]()
    schema = arrow.schema(_type(Trajectory).fields)
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path), appearing(path) as part, parquet.ParquetWriter(part, schema) as file:
        for record in records:
            held.append(to_columns(record))
            count += 1
            if len(held) == GROUP:
                file.write_table(arrow.Table.from_pylist(held, schema))
                held = []
        file.write_table(arrow.Table.from_pylist(held, schema))
    return count


def to_columns(record: Any) -> dict[str, Any]:
    """A record as a row, every field of it."""
    hints = _hints(typing.cast(Any, type(record)))
    return {name: _column(kind, getattr(record, name)) for name, kind in hints.items()}


def from_columns(cls: type[T], row: Mapping[str, Any]) -> T:
    """The record that `to_columns` made a row of, or FieldError."""
    try:
        plain = _plain(cls, row)
    except (KeyError, TypeError, AttributeError) as problem:  # another shape than that of these columns
        raise FieldError(f"row: is no {cls.__name__} in columns ({problem!r})") from None
    return decode(cls, plain)


def is_columns(row: Mapping[str, Any]) -> bool:
    """Whether a row is a trajectory in columns: there the extra fields of its task are JSON."""
    task = row.get("task")
    return isinstance(task, Mapping) and isinstance(task.get("extra"), str)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _is_open(kind: Any) -> bool:
    """Whether it is kept as JSON: a value of many types, or anything."""
    union = get_origin(kind) is Union or isinstance(kind, types.UnionType)
    several = union and len([one for one in get_args(kind) if one is not type(None)]) > 1
    anything = _is_mapping(kind) and get_args(kind)[1] is Any
    return kind is Any or anything or (several and kind != Part)


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _inner(kind: Any) -> Any:
    """What a value is where it is not null."""
    if get_origin(kind) is Union or isinstance(kind, types.UnionType):
        return next(one for one in get_args(kind) if one is not type(None))
    return kind


def _type(kind: Any) -> Any:
    """The Arrow type of a column."""
    arrow = needed("pyarrow")
    if kind == Part:
        return arrow.struct([("text", arrow.string()), ("frame", _type(FrameRef))])
    if _is_open(kind):
        return arrow.string()
    kind = _inner(kind)
    if get_origin(kind) is Literal:
        return arrow.string()
    if _is_mapping(kind):
        held = _hints(get_args(kind)[1]).items()
        return arrow.list_(
            arrow.struct([("name", arrow.string()), *((name, _type(one)) for name, one in held)])
        )
    if get_origin(kind) in (list, tuple):
        return arrow.list_(_type(get_args(kind)[0]))
    if dataclasses.is_dataclass(kind):
        return arrow.struct([(name, _type(one)) for name, one in _hints(typing.cast(Any, kind)).items()])
    return getattr(arrow, PLAIN[kind])()


def _column(kind: Any, value: Any) -> Any:
    """A value as a column holds it."""
    if kind == Part:
        frame = to_columns(value) if isinstance(value, FrameRef) else None
        return {"text": None if frame else value, "frame": frame}
    if _is_open(kind):
        return json.dumps(encode(value), ensure_ascii=False)
    if value is None:
        return None
    kind = _inner(kind)
    if _is_mapping(kind):
        return [{"name": name, **to_columns(one)} for name, one in value.items()]
    if get_origin(kind) in (list, tuple):
        item = get_args(kind)[0]
        return list(value) if item in PLAIN else [_column(item, one) for one in value]
    return to_columns(value) if dataclasses.is_dataclass(kind) else value


def _plain(kind: Any, value: Any) -> Any:
    """What `encode` would have made of it."""
    if kind == Part:
        return value["text"] if value["frame"] is None else _plain(FrameRef, value["frame"])
    if _is_open(kind):
        try:
            return json.loads(value)
        except (TypeError, ValueError):
            raise FieldError(f"{str(value)[:60]!r} is not JSON") from None
    if value is None:
        return None
    kind = _inner(kind)
    if _is_mapping(kind):
        held = get_args(kind)[1]
        return {one["name"]: _plain(held, {k: v for k, v in one.items() if k != "name"}) for one in value}
    if get_origin(kind) in (list, tuple):
        item = get_args(kind)[0]
        return list(value) if item in PLAIN else [_plain(item, one) for one in value]
    if dataclasses.is_dataclass(kind):
        hints = _hints(typing.cast(Any, kind))
        return {name: _plain(hints[name], one) if name in hints else one for name, one in value.items()}
    return value
