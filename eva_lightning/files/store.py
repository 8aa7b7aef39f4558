"""Tasks and trajectories on disk: JSONL, one record a line, appended and flushed as they finish.

Reading is strict: a bad row is refused with file, line and field. A last line without its newline is the mark
of a killed writer: a reader refuses it, `Appender` cuts it off (and says so) before it adds anything. No
database, no index.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, TypeVar

from eva_lightning.faults import UsageError
from eva_lightning.files.atomic import appearing
from eva_lightning.files.encoding import FieldError
from eva_lightning.files.foreign_json import json_problem
from eva_lightning.files.full_disk import writing
from eva_lightning.files.row_version import from_row, to_row
from eva_lightning.records import Task, Trajectory

LONGEST = 64 * 2**20
"""Characters of a line. A trajectory of 100,000 tokens takes some two million."""

T = TypeVar("T")
Shown = TypeVar("Shown", Task, Trajectory)
"""What names the clips it shows."""


def read(path: str | Path, cls: type[T]) -> list[T]:
    """All records of a file."""
    return list(stream(path, cls))


def stream(path: str | Path, cls: type[T]) -> Iterator[T]:
    """The records of a file, one at a time; UsageError names file, line and field of the first bad row."""
    for number, row in _rows(Path(path)):
        try:
            yield from_row(cls, row)
        except FieldError as problem:
            raise UsageError(f"{path}:{number}: {problem}") from None


def write(path: str | Path, records: Iterable[Any]) -> int:
    """Write a whole file at once: it appears complete or not at all. Returns the number of rows."""
    path, count = Path(path), 0
    with writing(path), appearing(path) as part, _opened(path, part, "wb") as file:
        for record in records:
            file.write(line(record).encode())
            count += 1
    return count


def _opened(path: Path, part: Path, mode: Literal["wb", "ab"]) -> BinaryIO:
    """`part`, to be written to and to become `path`; UsageError if that can not be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        return part.open(mode)
    except OSError as problem:
        why = problem.strerror or problem
        raise UsageError(f"{path}: can not be written ({why}); name another file") from None


def line(record: Any) -> str:
    """A record as one line of JSON."""
    return json.dumps(to_row(record), ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"


def located(record: Shown, root: str | Path) -> Shown:
    """A task, or a trajectory with its task, with relative clip paths made usable.

    They count from `root`, as a rule the folder of the file.
    """
    return _moved(record, lambda path: str(Path(root) / path))


def portable(record: Shown, root: str | Path) -> Shown:
    """A task, or a trajectory with its task, as it is written.

    Clips under `root` have relative paths, so that the folder can be moved.
    """
    base = Path(root).resolve()

    def shorten(path: str) -> str:
        whole = Path(path).resolve()
        return str(whole.relative_to(base)) if whole.is_relative_to(base) else str(whole)

    return _moved(record, shorten)


def _moved(record: Shown, move: Callable[[str], str]) -> Shown:
    if isinstance(record, Trajectory):
        return replace(record, task=_moved(record.task, move))
    clips = tuple(replace(clip, path=move(clip.path)) if clip.path else clip for clip in record.clips)
    return replace(record, clips=clips)


class Appender:
    """Adds records to a file so that a crash loses at most the record being written.

    It never corrupts another, and a disk that is full tears none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = _opened(self.path, self.path, "ab")
        self.repaired = repair(self.path)

    def append(self, record: Any) -> None:
        """Write one record and hand it to the operating system before returning, whole or not at all."""
        handle, rest = self._file.fileno(), line(record).encode()
        whole = os.fstat(handle).st_size
        with writing(self.path):
            try:
                while rest:
                    rest = rest[os.write(handle, rest) :]
            except BaseException:
                os.ftruncate(handle, whole)
                raise

    def close(self) -> None:
        with writing(self.path), self._file:
            os.fsync(self._file.fileno())

    def __enter__(self) -> Appender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()


def repair(path: str | Path) -> int:
    """Cut a torn last line off a file; the number of bytes that were cut (0 if the file is whole or missing).

    A whole row that only lacks its newline, as editors leave it, is given one.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size == 0:
        return 0
    with path.open("rb+") as file:
        torn = _torn_bytes(file)
        file.seek(-torn, os.SEEK_END)
        if 0 < torn <= LONGEST and _is_row(file.read()):
            file.write(b"\n")
            return 0
        if torn:
            file.truncate(file.seek(0, os.SEEK_END) - torn)
            print(f"{path}: cut a torn last line of {torn} bytes (a writer was killed)", file=sys.stderr)
    return torn


def _is_row(last: bytes | str) -> bool:
    """Whether a last line without newline is a row: a part of an object is never JSON."""
    try:
        return isinstance(json.loads(last), dict)
    except (ValueError, RecursionError):
        return False


def _torn_bytes(file: BinaryIO) -> int:
    """How many bytes follow the last newline; reads backwards, so a large file costs nothing."""
    end = file.seek(0, os.SEEK_END)
    position = end
    while position > 0:
        step = min(65536, position)
        position -= step
        file.seek(position)
        newline = file.read(step).rfind(b"\n")
        if newline >= 0:
            return end - (position + newline + 1)
    return end


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        file = path.open(encoding="utf-8-sig")
    except OSError as problem:
        raise UsageError(f"{path}: {problem.strerror or problem}; give the path of a JSONL file") from None
    with file:
        try:
            for number, text in enumerate(iter(partial(file.readline, LONGEST + 1), ""), start=1):
                if len(text) > LONGEST:
                    raise UsageError(
                        f"{path}:{number}: a line of more than {LONGEST} characters; want one record a line"
                    )
                if not text.endswith("\n") and not _is_row(text):
                    raise UsageError(
                        f"{path}:{number}: torn last line ({len(text)} characters, no newline): "
                        "its writer was killed; start it again, which repairs it, or delete that line"
                    )
                if text.strip():
                    yield number, _json(path, number, text)
        except UnicodeDecodeError as problem:
            raise UsageError(f"{path}: not UTF-8 text ({problem.reason} at byte {problem.start})") from None


def _json(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{path}:{number}: not JSON ({json_problem(problem)})") from None
