"""The lock of a file: one process at a time writes it; a second is told so, or waits, and tears nothing.

The system gives it back when its holder dies; in the file stands who that is. Over NFS Linux asks the server,
so that it holds for all hosts, unless the folder is mounted with `nolock` or `local_lock`; Lustre wants
`flock`. Where it reaches one host only, or there are no locks, what stands in the file is believed as far as
possible: who runs here holds it still, and one of another host is told of.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from eva_lightning.faults import UsageError

_HERE = f"on {os.uname().nodename}"
SIGNED = re.compile(rf"process (\d+) {re.escape(_HERE)}, since ")
"""How a process of this host signs a lock."""


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
        holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
        if not _taken(handle, lock, holder):
            who = f" ({holder})" if holder else ""
            raise UsageError(
                f"{path}: another process is writing it{who}; wait until it is done, or {remedy}"
            )
        if holder and not SIGNED.match(holder):
            print(f"{path}: was held by {holder}; if that still runs, end it", file=sys.stderr)
        _sign(handle)
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


def _sign(handle: int) -> None:
    """Write down who holds it; a full disk hinders nobody."""
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} {_HERE}, since {since}\n".encode(), 0)


def _taken(handle: int, lock: Path, holder: str) -> bool:
    """Whether the lock is ours now, and is still the one that others would find."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), os.stat(lock))
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:  # a file system without locks
        return not _runs_here(holder)


def _runs_here(holder: str) -> bool:
    """Whether the process that signed runs on this host, and is another one."""
    signed = SIGNED.match(holder)
    return signed is not None and int(signed[1]) != os.getpid() and Path("/proc", signed[1]).exists()
