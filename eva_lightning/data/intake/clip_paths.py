"""Clip paths: where the videos that a data file names may lie, so that the file of a stranger opens no other.

Nothing is opened here; what a path means is said where it is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from eva_lightning.faults import UsageError
from eva_lightning.records import Task

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""How an address begins."""


def is_within(path: str | Path, folder: str | Path) -> bool:
    """Whether a path means something in a folder, wherever `..` and links on the way lead."""
    base = os.path.realpath(folder)
    return os.path.realpath(path).startswith(base.rstrip(os.sep) + os.sep)


def refuse_strays(
    tasks: Iterable[Task], file: str | Path, root: str | Path | None, allow_outside: bool
) -> None:
    """UsageError for the first clip that is an address, or that leads out of the folder it counts from.

    Args:
        tasks: As they stand in their file.
        file: Where that is, for the message.
        root: The folder that no clip may leave; None bounds them not.
        allow_outside: Whether they may leave it.
    """
    known: set[str] = set()
    for task in tasks:
        for path in (clip.path for clip in task.clips if clip.path not in known):
            known.add(path)
            if ADDRESS.match(path):
                raise UsageError(f"{file}: task {task.id!r}: clip {path} is an address; fetch the video")
            if path and root is not None and not allow_outside and not is_within(Path(root) / path, root):
                raise UsageError(
                    f"{file}: task {task.id!r}: clip {path} leads out of the folder {root}; move the video "
                    "there, or say allow_outside if you trust the file"
                )
