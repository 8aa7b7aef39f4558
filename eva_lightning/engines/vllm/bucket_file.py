"""The file in which a bucket of weights goes from a trainer to the servers on its machine.

A server is told a path, and opens nothing but a file that a trainer of the same user made for this. What is
in it is the business of `weight_push` and `shared_memory`.
"""

from __future__ import annotations

import mmap
import os
import shutil
import stat
import tempfile
from pathlib import Path

PREFIX = "eva-weights-"
MEMORY = Path("/dev/shm")
"""Where files are memory."""


def folder_for(size: int) -> str:
    """Memory where files live, or a plain folder where there is too little of it (containers)."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > size + 2**24:
        return str(MEMORY)
    return tempfile.gettempdir()


def mapped(path: str, size: int) -> mmap.mmap:
    """The first `size` bytes of such a file, for reading; ValueError says why it is none."""
    file = Path(path)
    if str(file.parent) not in {str(MEMORY), tempfile.gettempdir(), "/tmp"} or not file.name.startswith(
        PREFIX
    ):
        raise ValueError(f"{path!r} is no file of weights: those are in {MEMORY} and begin with {PREFIX}")
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid() or state.st_nlink > 1:
            raise ValueError(f"{path!r} is no file that a trainer of this user made")
        if not 0 < size <= state.st_size:
            raise ValueError(f"{path!r} holds {state.st_size} bytes, and {size} were announced")
        return mmap.mmap(handle, size, access=mmap.ACCESS_COPY)
    finally:
        os.close(handle)
