"""The quarantine: files that failed several times in a row and are not opened any more.

A file that has changed since is another one and gets another chance. Nothing is written here; who wants to
keep the list is told of each entry.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eva_lightning.faults import VideoError
from eva_lightning.video.identity import Identity, identity


class Interrupted(VideoError):
    """A request that ended for a reason that is not its file's."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A file that is not opened any more."""

    path: str
    """Where it is."""
    reason: str
    """What was said of it the last time."""
    failures: int
    """How often it failed in a row."""
    modified_ns: int
    """When it was last changed, in nanoseconds; with the size it says which file that was. 0 if missing."""
    size: int
    """Bytes; 0 if missing."""


class Quarantine:
    """Counts failures, and refuses files that had too many. Thread-safe."""

    def __init__(self, after: int | None) -> None:
        """
        Args:
            after: Failures in a row after which a file is left out; None leaves none out.
        """
        if after is not None and after < 1:
            raise ValueError(f"quarantine_after is {after}: want 1 or more, or None")
        self._after = after
        self._lock = threading.Lock()  # guards what follows
        self._failures: dict[Identity, int] = {}
        self._rows: dict[str, LeftOut] = {}
        self.on_entry: Callable[[LeftOut], None] | None = None
        """Is told of every file from which on it is left out."""

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What is left out now."""
        with self._lock:
            return tuple(self._rows.values())

    def take_up(self, rows: Iterable[LeftOut]) -> None:
        """Leave out what an earlier run left out, too."""
        with self._lock:
            self._rows |= {row.path: row for row in rows}

    @contextmanager
    def watching(self, path: str | Path) -> Iterator[None]:
        """Around whatever reads a file: refuses it, or sees how it goes."""
        if self._after is None:
            yield
            return
        self.refuse(path)
        state = identity(path)
        try:
            yield
        except Interrupted:
            raise
        except VideoError as problem:
            self._count(state, str(problem), self._after)
            raise
        with self._lock:
            self._failures.pop(state, None)

    def refuse(self, path: str | Path) -> None:
        """VideoError for a file that is left out."""
        state = identity(path)
        with self._lock:
            row = self._rows.get(state[0])
            if row is None:
                return
            if (row.modified_ns, row.size) != state[1:]:
                del self._rows[row.path]
                return
        raise VideoError(f"{row.path}: left out since it failed {row.failures} times in a row ({row.reason})")

    def _count(self, state: Identity, said: str, after: int) -> None:
        path, modified_ns, size = state
        with self._lock:
            self._failures[state] = self._failures.get(state, 0) + 1
            if self._failures[state] < after or path in self._rows:
                return
            reason = said.removeprefix(f"{path}: ")
            row = LeftOut(path=path, reason=reason, failures=after, modified_ns=modified_ns, size=size)
            self._rows[path] = row
            del self._failures[state]
        if self.on_entry is not None:
            self.on_entry(row)
