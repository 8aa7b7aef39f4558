"""The identity of a file: what changes when other content stands under its path, told without reading it.

For caches of what was made from a file. It is no proof: who sets size and time back is believed.
"""

from __future__ import annotations

import os
from pathlib import Path

from eva_lightning.faults import VideoError

Identity = tuple[str, int, int]
"""Path, modification time in ns and size: equal only for a file that did not change."""


def identity(path: str | Path) -> Identity:
    """That of a file by its real path, from wherever one looks.

    Where there is no file, or none yet, the place alone counts.
    """
    place = os.path.realpath(path)
    try:
        found = os.stat(place)
    except (OSError, ValueError):  # ValueError: a path that no file can have
        return place, 0, 0
    return place, found.st_mtime_ns, found.st_size


def file_identity(path: str | Path) -> Identity:
    """That of a video by the path it was given; VideoError if there is no such file."""
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        raise VideoError(
            f"{path}: {getattr(error, 'strerror', None) or error}; check the path of the video"
        ) from None
    if not os.path.isfile(path):
        raise VideoError(f"{path}: not a file; name the video file itself")
    _, modified_ns, size = identity(path)
    if size == 0:
        raise VideoError(f"{path}: the file is empty; fetch the video again")
    return os.path.abspath(path), modified_ns, size
