"""One process at a time writes a file: a second is told so, or waits for its turn, and tears nothing.

Where the file system knows no locks, nobody is held up.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from eva_lightning.faults import UsageError


@contextmanager
def sole_writer(path: str | Path, remedy: str) -> Iterator[None]:
    """Hold `path`, and what lies beside it by its name, alone; UsageError where another process does.

    The lock is a file beside it (beside what a link leads to), which is gone afterwards; one that a killed
    process left holds up nobody.
    """
    if not Path(path).name:
        raise UsageError(f"{os.fspath(path)!r}: names no file; {remedy}")
    lock = Path(os.path.realpath(path) + ".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as problem:
        raise UsageError(f"{path}: can not be written ({problem.strerror or problem}); {remedy}") from None
    try:
        if not _taken(handle, lock):
            raise UsageError(f"{path}: another process is writing it; wait until it is done, or {remedy}")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(handle)


@contextmanager
def in_turn(path: str | Path) -> Iterator[None]:
    """Hold the folder of `path` for a moment; another process waits for its turn. No file is left behind."""
    folder = os.open(Path(path).parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _taken(handle: int, lock: Path) -> bool:
    """Whether the lock is ours now, and is still the one that others would find."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), os.stat(lock))
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:  # a file system without locks
        return True
