"""A row of somebody else's file that can not become a task: why, in words that can be counted and read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class BadRow(Exception):
    """Nothing is guessed about such a row: it is refused, or put aside and counted by its cause."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        """One of a few, so that they can be counted."""
        self.detail = detail
        """What exactly was found."""


def counted(causes: Iterable[str]) -> str:
    """How often each cause came up, the commonest first.

    >>> counted(["no video", "no question", "no video"])
    '2 no video, 1 no question'
    """
    return ", ".join(f"{count} {cause}" for cause, count in Counter(causes).most_common())
