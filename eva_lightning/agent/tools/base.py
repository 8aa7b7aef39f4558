"""Tools: how the agent asks; a tool checks the arguments the model wrote and puts them to the world.

A wrong argument raises ToolError, whose text the model reads. How calls and their results are spelled is the
dialect's business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eva_lightning.agent.worlds.base import Glimpse, World
from eva_lightning.records import PATCH, Clip, Span, ToolCall


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What one call brought back."""

    glimpses: tuple[Glimpse, ...] = ()
    """Moments seen, in order."""
    text: str = ""
    """Words to show before them."""
    tokens: int = 0
    """Tokens that the frames take in the conversation, labels included, as far as the tool can tell. Words
    are counted as they are shown: leave them out here."""
    frames_cut: int = 0
    """Frames asked for but left out, because a token budget was full."""
    spans: tuple[Span, ...] = ()
    """What was looked at or listened to, clamped to the clip."""

    elsewhere: int = 0
    """Visual tokens that another model read for this call, and that never enter the conversation."""

    @property
    def words(self) -> str:
        """What it adds to the conversation beside frames and their labels."""
        return self.text + "".join(one.content for one in self.glimpses if isinstance(one.content, str))


class Tool(ABC):
    """One thing the agent can do."""

    name: str
    """What the model writes to call it."""
    wants_pictures: bool = False
    """Whether it fetches frames, so that it is of no use in a world of words."""
    wants_words: bool = False
    """Whether it has the world tell what it shows, so that it is of no use where there is nobody to tell."""
    square: int = PATCH
    """Side in pixels of the square that one visual token covers: sizes are multiples of it. An agent sets it
    by its model."""
    calls: int | None = None
    """Calls of it that are carried out in one trajectory; the model reads that it asked for more. None is no
    limit."""

    @abstractmethod
    def manual(self, clips: Sequence[str]) -> str:
        """What its arguments mean, a line each, for a model that was never trained on it.

        `clips` are the ids of the task's clips.
        """

    @abstractmethod
    def example(self, clips: Sequence[str]) -> Mapping[str, Any]:
        """Arguments that make sense: manuals show them, and a test puts them through every dialect."""

    @abstractmethod
    async def run(self, call: ToolCall, clips: Sequence[Clip], world: World, room: int) -> Findings:
        """Execute a call.

        `room` is the number of tokens the conversation can still take; work that does not fit is cut before
        anything is decoded. All trajectories share one event loop: what blocks goes into `asyncio.to_thread`.
        """


def often(count: int) -> str:
    """How often, in words.

    >>> often(1), often(3)
    ('once', '3 times')
    """
    return "once" if count == 1 else f"{count} times"
