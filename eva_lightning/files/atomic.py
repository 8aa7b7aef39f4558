"""Files and folders that appear whole or not at all: write beside, then rename.

A reader, and whoever starts after a `kill -9`, sees only finished things under final names. What a killed
writer left has a name that ends in `.part`, and what it was about to replace one that ends in `.aside`. For
local file systems; nothing here writes contents.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PART = ".part"
"""Ending of what is not finished, or no longer wanted."""
ASIDE = ".aside"
"""Ending of a whole folder whose name is being given to another."""


@contextmanager
def appearing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Where to write a file or folder that gets its name when all of it is written.

    After an error there is nothing, or what was there before. `shared` is for what several
    processes may write at once, all of them the same: each has a part of its own.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}") if shared else part_of(path)
    discard(part)
    try:
        yield part
        if path.is_dir() and not part.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        _rename(part, path)
    except BaseException:
        discard(part)
        raise


def part_of(path: Path) -> Path:
    """Where to write what shall become `path`: hidden, in the same folder, so that renaming is atomic."""
    return path.with_name(f".{path.name}{PART}")


def place(path: Path) -> None:
    """Give what was written to `part_of(path)` its name, in the stead of what had that name before."""
    _rename(part_of(path), path)


def _rename(part: Path, path: Path) -> None:
    _settle_all(part)
    aside = _aside_of(path)
    is_folder = path.is_dir() and not path.is_symlink()
    if not (is_folder and _exchanged(part, path)):
        if is_folder:  # it can not be replaced in one go: whoever dies now leaves it to `restore`
            remove(aside)
            path.rename(aside)
        part.replace(path)
    _settle(path.parent)
    remove(part)
    remove(aside)


def _exchanged(part: Path, path: Path) -> bool:
    """Whether the two have each other's name now. Linux does that in one go, on most local file systems."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    here, both = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return exchange is not None and exchange(here, os.fsencode(part), here, os.fsencode(path), both) == 0


def _aside_of(path: Path) -> Path:
    return path.with_name(f".{path.name}{ASIDE}")


def point(link: Path, target: Path) -> None:
    """Let `link` lead to a neighbour. At every moment it leads to the old one or to the new one."""
    part = part_of(link)
    part.unlink(missing_ok=True)
    part.symlink_to(target.name)
    part.replace(link)
    _settle(link.parent)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder, if it is there. A folder loses its name first, then its contents."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        doomed = path if path.name.endswith(PART) else path.with_name(f".{path.name}.gone{PART}")
        if doomed != path:
            remove(doomed)
            path.rename(doomed)
        shutil.rmtree(doomed)


def discard(part: Path) -> None:
    """Remove a part; where that can not be, writing it says why, or has said so."""
    with suppress(OSError):
        remove(part)


def restore(folder: Path) -> None:
    """Give the folders back their names that a killed writer had put aside for others that never came."""
    for aside in sorted(folder.glob(f".*{ASIDE}")):
        path = aside.with_name(aside.name[1 : -len(ASIDE)])
        if not path.exists():
            with suppress(FileNotFoundError):  # another process has done it
                aside.rename(path)


def sweep(folder: Path) -> None:
    """Restore what killed writers had put aside, and remove what else they left behind."""
    restore(folder)
    for ending in (PART, ASIDE):
        for path in sorted(folder.glob(f".*{ending}")):
            remove(path)


def _settle_all(path: Path) -> None:
    """Ask the disk to keep a file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        for inside in path.iterdir():
            _settle_all(inside)
    if not path.is_symlink():
        _settle(path)


def _settle(path: Path) -> None:
    """Ask the disk to keep it, so that after a power cut the name is not older than its bytes."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
