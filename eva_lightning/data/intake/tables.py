"""Rows of whatever file people have: JSONL, JSON, CSV, TSV, Parquet, lines of text, `datasets`.

What a row means is not known here; every row knows where it stands, so that whoever refuses it can say so.

One row at a time, so memory does not grow with the file; only a JSON file is read whole.
"""

from __future__ import annotations

import csv
import json
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from eva_lightning.data.intake.arranged import arranged
from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.row import Row, Table
from eva_lightning.faults import UsageError, first_line
from eva_lightning.files.foreign_json import json_problem
from eva_lightning.files.store import LONGEST


def rows_of(source: str, table: Table | None = None) -> Iterator[Row]:
    """The rows of a file, of a folder that `datasets` wrote or can read, or of a `datasets` id on the hub.

    The first one that can not be read is refused.
    """
    return map(_sound, every_row_of(source, table))


def every_row_of(source: str, table: Table | None = None) -> Iterator[Row]:
    """The same; a row that can not be read is one with a problem, and those behind it follow."""
    table, path = table or Table(), Path(source).expanduser()
    return arranged(_read(source, path, table), table, path.parent)


def _read(source: str, path: Path, table: Table) -> Iterator[Row]:
    """The rows of a file as they stand in it."""
    if path.is_file():
        read = _READERS.get(path.suffix.lower())
        if read is None:
            raise UsageError(
                f"{source}: rows are read from {', '.join(_READERS)} or a `datasets` folder or id"
            )
        return read(path, table)
    looks_like_an_id = source.count("/") == 1 and not source.startswith((".", "/", "~")) and not path.suffix
    if path.is_dir() or looks_like_an_id:
        return _from_datasets(source, path, table)
    raise UsageError(
        f"{source}: there is no such file; give a file, a folder of `datasets` or ORGANISATION/NAME"
    )


def _json_lines(path: Path, _: Table) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST + 1), b""), start=1):
            if len(line) > LONGEST:
                raise UsageError(f"{path}:{number}: a line of more than {LONGEST} bytes; want one row a line")
            line = line.removeprefix(BOM_UTF8) if number == 1 else line
            if not line.strip():
                continue
            values, problem = dict[str, Any](), None
            try:
                values = _object(line)
            except BadRow as found:
                problem = found
            yield Row(place=f"{path}:{number}", number=number, values=values, problem=problem)


def _object(line: bytes) -> dict[str, Any]:
    """The object that a line holds."""
    try:
        text = line.decode()
        value = json.loads(text)
    except UnicodeDecodeError as problem:
        raise BadRow("not UTF-8", f"not UTF-8 text ({problem.reason} at byte {problem.start})") from None
    except (ValueError, RecursionError) as problem:
        raise BadRow("not JSON", f"not JSON ({json_problem(problem)})") from None
    if half := _half(value) if _may_hold_halves(text) else None:
        raise BadRow("half a character", half)
    if not isinstance(value, dict):
        raise BadRow("no object", f"holds no object but {type(value).__name__}")
    return value


def _json(path: Path, table: Table) -> Iterator[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        whole, halves = json.loads(text), _may_hold_halves(text)
    except json.JSONDecodeError as problem:
        lines = "; one object a line is JSONL: name it .jsonl" if problem.msg == "Extra data" else ""
        raise UsageError(f"{path}:{problem.lineno}: not JSON ({problem.msg}){lines}") from None
    except UnicodeDecodeError as problem:
        raise UsageError(f"{path}: not UTF-8 text ({problem.reason} at byte {problem.start})") from None
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{path}: not JSON ({json_problem(problem)})") from None
    if isinstance(whole, dict) and table.keyed is not None:
        whole = [_with_key(path, table.keyed, key, value) for key, value in whole.items()]
    elif isinstance(whole, dict):
        lists = [key for key, value in whole.items() if isinstance(value, list)]
        if table.key not in lists:
            named = f"no list under {table.key!r}" if table.key else "an object"
            raise UsageError(
                f"{path}: holds {named}; its lists are {', '.join(lists) or 'none'}: name one as key, "
                "or say which column its keys are (keyed)"
            )
        whole = whole[table.key]
    elif not isinstance(whole, list):
        raise UsageError(f"{path}: want a list of rows, not {type(whole).__name__}")
    for number, value in enumerate(whole, start=1):
        place = f"{path} row {number}"
        if half := _half(value) if halves else None:
            raise UsageError(f"{place}: {half}")
        if not isinstance(value, dict):
            raise UsageError(f"{place}: holds no object but {type(value).__name__}")
        yield Row(place=place, number=number, values=value)


def _with_key(path: Path, column: str, key: str, value: Any) -> dict[str, Any]:
    """A value of an object as a row that says its key."""
    if not isinstance(value, dict):
        raise UsageError(f"{path}: under {key!r} is no object but {type(value).__name__}")
    return {column: key, **value}


def _text_lines(path: Path, table: Table) -> Iterator[Row]:
    """Lines that are made like table.line; empty ones are none."""
    if table.line is None:
        raise UsageError(
            f"{path}: say how its lines are made (line), as in '{{video}} {{times}}##{{sentence}}'"
        )
    names = re.findall(r"\{(\w+)\}", table.line)
    begin, *signs = re.split(r"\{\w+\}", table.line)
    if not names or begin or not all(signs[:-1]):
        raise UsageError(
            f"line {table.line!r}: want columns in braces with something between any two of them"
        )
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if text := line.strip():
                    yield _cut(f"{path}:{number}", number, text, names, signs)
    except UnicodeDecodeError as problem:
        raise UsageError(f"{path}: not UTF-8 text ({problem.reason} at byte {problem.start})") from None


def _cut(place: str, number: int, text: str, names: list[str], signs: list[str]) -> Row:
    """A line cut at its signs, in order."""
    values, rest = dict[str, Any](), text
    for name, sign in zip(names, signs, strict=True):
        piece, found, rest = rest.partition(sign) if sign else (rest, "", "")
        if sign and not found:
            problem = BadRow("no such line", f"no {sign!r} behind {name} in {text[:60]!r}")
            return Row(place=place, number=number, values={}, problem=problem)
        values[name] = piece.strip()
    return Row(place=place, number=number, values=values)


def _separated(path: Path, separator: str) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=separator, strict=True)
        try:
            names = Counter(reader.fieldnames or ())
            if twice := [name for name, count in names.items() if count > 1]:
                raise UsageError(f"{path}: two columns are named {twice[0]!r}; give each its own name")
            for number, values in enumerate(reader, start=1):
                place = f"{path}:{reader.line_num}"
                if None in values or None in values.values():
                    raise UsageError(f"{place}: another number of columns than the {len(names)} named")
                yield Row(place=place, number=number, values=values)
        except csv.Error as problem:
            raise UsageError(f"{path}:{reader.reader.line_num}: {problem}") from None
        except UnicodeDecodeError as problem:
            raise UsageError(f"{path}: not UTF-8 text ({problem.reason} at byte {problem.start})") from None


def _parquet(path: Path, _: Table) -> Iterator[Row]:
    parquet, arrow = needed("pyarrow.parquet"), needed("pyarrow")
    try:
        file = parquet.ParquetFile(path)
    except arrow.ArrowInvalid as problem:
        raise UsageError(f"{path}: no Parquet ({first_line(problem)})") from None
    number = 0
    with file:
        try:
            for batch in file.iter_batches(batch_size=256):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(place=f"{path} row {number}", number=number, values=values)
        except (arrow.ArrowException, OSError) as problem:
            raise UsageError(f"{path}: damaged after row {number} ({first_line(problem)})") from None


def _from_datasets(source: str, path: Path, table: Table) -> Iterator[Row]:
    """Rows by the `datasets` library, pictures and sounds left as bytes or paths."""
    library = needed("datasets")
    written = (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()
    try:
        if written:
            found = library.load_from_disk(str(path))
            found = found[table.split] if (path / "dataset_dict.json").is_file() else found
            found = found.to_iterable_dataset()
        else:
            found = library.load_dataset(source, table.subset, split=table.split, streaming=True)
        for number, values in enumerate(found.decode(False), start=1):
            yield Row(place=f"{source} row {number}", number=number, values=values)
    except (KeyError, ValueError, OSError, RuntimeError, library.exceptions.DatasetsError) as problem:
        why = first_line(problem)
        raise UsageError(f"{source}: `datasets` can not read split {table.split!r} of it ({why})") from None


def _may_hold_halves(text: str) -> bool:
    """Whether JSON spells characters in halves, as it does beyond the first 65,536."""
    return "\\ud" in text or "\\uD" in text


def _half(value: Any) -> str | None:
    """What is wrong with half a character: JSON can hold it, and no file can. None where there is none."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        return f"holds half a character ({problem.reason}); repair its text"
    except RecursionError:
        return "is nested too deeply"
    return None


def needed(module: str) -> Any:
    """A library that few need, or one line that says what to install."""
    try:
        return import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        raise UsageError(
            f"{name} is not installed, and these rows need it: pip install 'eva-lightning[data]'"
        ) from None


def _sound(row: Row) -> Row:
    if row.problem is not None:
        raise UsageError(f"{row.place}: {row.problem.detail}")
    return row


_READERS: dict[str, Callable[[Path, Table], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": lambda path, _: _separated(path, ","),
    ".tsv": lambda path, _: _separated(path, "\t"),
    ".parquet": _parquet,
    ".txt": _text_lines,
}
