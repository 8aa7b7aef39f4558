"""What was found out before, by what was asked: in memory, and in a file that outlives a crash.

A key covers everything that the record depends on; what is kept under it never changes. Several processes may
add to one file; each knows what was there when it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from eva_lightning.faults import UsageError
from eva_lightning.files.lock import in_turn
from eva_lightning.files.store import Appender, read


class Keyed(Protocol):
    """A record that says under which key it is kept."""

    @property
    def key(self) -> str: ...


K = TypeVar("K", bound=Keyed)


class Memo(Generic[K]):
    """All records so far, by key."""

    def __init__(self, cls: type[K], path: str | Path | None = None) -> None:
        """
        Args:
            cls: What is kept.
            path: JSONL file to go on with, or to begin; None keeps them in memory only.
        """
        self.path = None if path is None else Path(path)
        self._known: dict[str, K] = {}
        self._file: Appender | None = None
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with in_turn(self.path):
                    self._file = Appender(self.path)  # cuts off what a killed writer left
                    self._known = {one.key: one for one in read(self.path, cls)}
            except OSError as problem:
                raise UsageError(
                    f"{self.path}: can not be written ({problem.strerror or problem}); name another cache"
                ) from None

    def __len__(self) -> int:
        return len(self._known)

    def find(self, keys: Sequence[str]) -> dict[str, K]:
        """Those that are known."""
        return {key: self._known[key] for key in keys if key in self._known}

    def add(self, record: K) -> None:
        """Keep one; it is handed to the operating system before this returns."""
        self._known[record.key] = record
        if self._file is not None and self.path is not None:
            with in_turn(self.path):
                self._file.append(record)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
