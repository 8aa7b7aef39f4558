"""Records to plain JSON and back, checked: a wrong value is refused with the path of the field that holds it.

One function each way, driven by the type hints of the dataclasses, so that a new record needs no code here.
It knows nothing of files; `store.py` adds the file and the line.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from eva_lightning.files.foreign_json import is_whole, unfit

T = TypeVar("T")


class FieldError(ValueError):
    """A value that does not fit its field; the message begins with the field's path."""


def encode(record: Any) -> Any:
    """A record as JSON values. Fields that hold their default are left out, so rows stay short."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        row = {}
        for spec in dataclasses.fields(record):
            value = getattr(record, spec.name)
            if not _is_default(spec, value):
                row[spec.name] = encode(value)
        return row
    if isinstance(record, (list, tuple)):
        return [encode(value) for value in record]
    if isinstance(record, Mapping):
        return {str(key): encode(value) for key, value in record.items()}
    return record


def decode(cls: type[T], row: Any) -> T:
    """The record of class `cls` that `encode` wrote, or FieldError."""
    return typing.cast(T, _decode(cls, row, ""))


def _is_default(spec: dataclasses.Field[Any], value: Any) -> bool:
    if spec.default is not dataclasses.MISSING:
        return bool(type(value) is type(spec.default) and value == spec.default)
    if spec.default_factory is not dataclasses.MISSING:
        return bool(value == spec.default_factory())
    return False


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _decode(kind: Any, value: Any, path: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        why = unfit(value)
        if why is not None:
            raise FieldError(f"{path or 'row'}: {why}")
        return value
    if origin is Literal:
        if value not in get_args(kind):
            raise _wrong(path, value, " | ".join(map(repr, get_args(kind))))
        return value
    if origin is Union or isinstance(kind, types.UnionType):
        return _decode_union(get_args(kind), value, path)
    if origin in (list, tuple):
        return _decode_sequence(kind, value, path)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _wrong(path, value, "an object")
        if not all(map(is_whole, value)):
            raise FieldError(f"{path or 'row'}: half a character")
        return {
            key: _decode(get_args(kind)[1], v, f"{path}.{key}" if path else key) for key, v in value.items()
        }
    if dataclasses.is_dataclass(kind):
        return _decode_record(typing.cast(type[Any], kind), value, path)
    return _decode_plain(kind, value, path)


def _decode_plain(kind: Any, value: Any, path: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise _wrong(path, value, "a finite number") from None
    if kind is type(None) and value is None:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(path, value, kind.__name__)
    if kind is str and not is_whole(value):
        raise FieldError(f"{path or 'row'}: half a character")
    if kind is float and not math.isfinite(value):
        raise _wrong(path, value, "a finite number")
    return value


def _decode_sequence(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, list):
        raise _wrong(path, value, "a list")
    item = get_args(kind)[0]
    # Token ids and log-probs are thousands a row.
    plain = item in (int, float) and all(type(v) is item for v in value)
    if plain and (item is int or math.isfinite(sum(value))):
        return get_origin(kind)(value)
    return get_origin(kind)(_decode(item, v, f"{path}[{i}]") for i, v in enumerate(value))


def _decode_union(kinds: tuple[Any, ...], value: Any, path: str) -> Any:
    problems = []
    for kind in kinds:
        try:
            return _decode(kind, value, path)
        except FieldError as problem:
            problems.append(problem)
    raise max(problems, key=lambda problem: len(str(problem).split(":")[0]))  # the one that got furthest


def _decode_record(cls: type[Any], value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(path, value, f"an object ({cls.__name__})")
    hints = _hints(cls)  # type: ignore[arg-type]
    specs = {spec.name: spec for spec in dataclasses.fields(cls)}
    for key in value:
        if key not in specs:
            raise FieldError(f"{_join(path, key)}: unknown field; {cls.__name__} has {', '.join(specs)}")
    for name, spec in specs.items():
        required = spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise FieldError(f"{_join(path, name)}: missing")
    arguments = {key: _decode(hints[key], v, _join(path, key)) for key, v in value.items()}
    try:
        return cls(**arguments)
    except FieldError:
        raise
    except (ValueError, TypeError) as problem:  # the record checked itself and said what is wrong
        raise FieldError(f"{path or cls.__name__}: {problem}") from None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wrong(path: str, value: Any, wanted: str) -> FieldError:
    try:
        shown = repr(value)
    except RecursionError:  # it was read from a lower place in the stack
        shown = f"a {type(value).__name__} nested too deeply"
    return FieldError(f"{path or 'row'}: {shown[:60]}{'...' if len(shown) > 60 else ''} is not {wanted}")
