"""A user's mistake, or a failure that he can mend, in one line; whatever else is raised is a bug.

Who prints the line, and how the process ends, is decided elsewhere.
"""

from __future__ import annotations

import os

from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.full_disk import MAKE_ROOM, refusal_of


def mistake_in(problem: BaseException) -> str | None:
    """The line that tells it; None for a bug.

    >>> mistake_in(BaseExceptionGroup("of the agent loop", [UsageError("no such file"), Fault("late")]))
    'no such file'
    >>> mistake_in(KeyError("clip"))
    """
    if isinstance(problem, BaseExceptionGroup):  # raised inside the agent loop
        mistakes, bugs = problem.split(_is_no_bug)
        return None if bugs is not None or mistakes is None else mistake_in(mistakes.exceptions[0])
    return _line(problem) if _is_no_bug(problem) else None


def _is_no_bug(problem: BaseException) -> bool:
    """Whether a line says it all; a file that the system refuses is the user's to name anew."""
    if isinstance(problem, OSError):
        named = isinstance(problem.filename, str | bytes | os.PathLike)
        return named or refusal_of(problem) is not None
    return isinstance(problem, UsageError | Fault)


def _line(problem: BaseException) -> str:
    if not isinstance(problem, OSError):
        return str(problem)
    why = problem.strerror or type(problem).__name__
    if problem.filename is None:
        return f"nothing can be written any more ({why}); {MAKE_ROOM}"
    full = refusal_of(problem) is not None  # the place is right, there is no room
    deed, remedy = ("written", MAKE_ROOM) if full else ("read or written", "name another place")
    return f"{os.fsdecode(problem.filename)}: can not be {deed} ({why}); {remedy}"
