"""A full disk, or one that takes nothing: what it says while something is written, told in one line.

Python, PyTorch and safetensors each say it in their own way. Any other error passes.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eva_lightning.faults import UsageError

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
SAID = re.compile(
    "|".join([*(f"{re.escape(os.strerror(one))}|os error {one}" for one in REFUSALS), "StreamWriter failed"])
)
"""The same in an error that is none of the system's."""

MAKE_ROOM = "make room, and call it again"


def refusal_of(problem: BaseException) -> str | None:
    """Why the disk took no more, in the system's words; None for any other error."""
    if isinstance(problem, OSError) and problem.errno in REFUSALS:
        return os.strerror(problem.errno)
    return "the disk is full" if isinstance(problem, Exception) and SAID.search(str(problem)) else None


@contextmanager
def writing(path: str | Path, remedy: str = MAKE_ROOM) -> Iterator[None]:
    """While `path` is written: UsageError with its name where the disk refuses."""
    try:
        yield
    except UsageError:
        raise
    except Exception as problem:
        why = refusal_of(problem)
        if why is None:
            raise
        raise UsageError(f"{path}: can not be written ({why}); {remedy}") from problem
