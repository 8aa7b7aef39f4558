"""The identity of a file: what changes when other content stands under its path, told without reading it.

For caches of what was made from a file. It is no proof: who sets size and time back is believed.
"""

from __future__ import annotations

import os
from pathlib import Path


def identity(path: str | Path) -> tuple[str, int, int]:
    """Where a file lies, from wherever one looks, its bytes and its last change in nanoseconds.

    Where there is no file, or none yet, the place alone counts.
    """
    place = os.path.realpath(path)
    try:
        found = os.stat(place)
    except (OSError, ValueError):  # ValueError: a path that no file can have
        return place, 0, 0
    return place, found.st_size, found.st_mtime_ns
