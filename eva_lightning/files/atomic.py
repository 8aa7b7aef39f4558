"""Files and folders that appear whole or not at all: write beside, then rename.

A reader, and whoever starts after a `kill -9`, sees only finished things under final names. What a killed
writer left has a name that ends in `.part`. For local file systems; nothing here writes contents.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

PART = ".part"
"""Ending of what is not finished, or no longer wanted."""


def part_of(path: Path) -> Path:
    """Where to write what shall become `path`: hidden, in the same folder, so that renaming is atomic."""
    return path.with_name(f".{path.name}{PART}")


def place(path: Path) -> None:
    """Give what was written to `part_of(path)` its name, in the stead of what had that name before."""
    part = part_of(path)
    _settle(part)
    if path.is_dir() and not path.is_symlink():  # a folder can not be replaced in one go
        aside = path.with_name(f".{path.name}.old{PART}")
        remove(aside)
        path.rename(aside)
        part.replace(path)
        remove(aside)
    else:
        part.replace(path)
    _settle(path.parent)


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


def sweep(folder: Path) -> None:
    """Remove what killed writers left behind."""
    for path in sorted(folder.glob(f".*{PART}")):
        remove(path)


def _settle(path: Path) -> None:
    """Ask the disk to keep it, so that after a power cut the name is not older than its bytes."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
