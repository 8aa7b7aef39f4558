"""The way back from an engine's thread to the coroutine that waits for it: what came of a turn.

It starts no thread and chooses no order.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def hand_back(waiting: asyncio.Future[T], outcome: T | BaseException) -> None:
    """Settle it with a result or with what went wrong.

    Any thread may do so; whoever gave up waiting is left in peace.
    """

    def settle() -> None:
        if waiting.done():
            return
        if isinstance(outcome, BaseException):
            waiting.set_exception(outcome)
        else:
            waiting.set_result(outcome)

    with suppress(RuntimeError):  # the loop is gone, and everybody with it
        waiting.get_loop().call_soon_threadsafe(settle)
