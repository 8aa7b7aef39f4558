"""Looks: calls of other people's agents that watch a range of seconds, as calls of ours.

crop_video (LongVT), get_video_clip_frame (VITAL) and <grounding> (Video-o3) say the same: from here to there.
What else our tool wants to be told (how many frames, how large) they do not say; it is the same for all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.dialects.calls import between
from eva_lightning.agent.tools.base import Tool
from eva_lightning.faults import UsageError
from eva_lightning.files.encoding import FieldError
from eva_lightning.files.foreign_json import read_json

TIMES = ("start_time", "end_time")
SEGMENT = "temporal_segment"
WANTED = f"want {TIMES[0]} and {TIMES[1]}, or {SEGMENT}: [from, to]"

_OPENING = re.compile("<(?:tool_call|grounding)>")


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How our agent looks at a range of seconds."""

    dialect: Dialect
    """Spells the call."""
    tool: str
    """Name of the tool."""
    rest: Mapping[str, Any]
    """What it is told beside the range."""

    def words(self, text: str, field: str) -> str:
        """A turn with its calls in our spelling; FieldError names one that looks at no range."""
        pieces, position = list[str](), 0
        while found := _OPENING.search(text, position):
            block, end = between(text, found[0], found[0].replace("<", "</"), found.start())
            if block is None:
                raise FieldError(f"{field}: a call is not closed with {found[0].replace('<', '</')}")
            pieces += [text[position : found.start()], self._again(block, field)]
            position = end
        return "".join([*pieces, text[position:]])

    def call(self, name: str, arguments: Mapping[str, Any], field: str) -> str:
        """A call that stood apart from the words."""
        start, end = _range(name, arguments, field)
        return self.dialect.call(self.tool, start_time=start, end_time=end, **self.rest)

    def _again(self, block: str, field: str) -> str:
        try:
            held = read_json(block.strip())
        except ValueError as problem:
            raise FieldError(f"{field}: the call {block.strip()[:60]!r} is not JSON ({problem})") from None
        if not isinstance(held, dict):
            raise FieldError(f"{field}: the call {block.strip()[:60]!r} is no object; {WANTED}")
        arguments = held.get("arguments", held)
        return self.call(str(held.get("name", "grounding")), arguments, field)


def looks_of(dialect: Dialect, tool: Tool, given: Mapping[str, Any] | None) -> Looks:
    """How an agent with this tool looks; UsageError if the tool watches no range of seconds.

    What nobody gives is taken from the example of its manual.
    """
    example = tool.example(["video"])
    if not set(TIMES) <= set(example):
        raise UsageError(f"the tool {tool.name} watches no range ({', '.join(TIMES)}); name one that does")
    usual = {name: value for name, value in example.items() if name not in TIMES}
    strange = [name for name in given or {} if name not in usual]
    if strange:
        known = ", ".join(usual) or "nothing"
        raise UsageError(f"window: {tool.name} is told {known} beside the range, not {strange[0]}")
    return Looks(dialect=dialect, tool=tool.name, rest=usual | dict(given or {}))


def _range(name: str, arguments: Any, field: str) -> tuple[float, float]:
    held = arguments if isinstance(arguments, Mapping) else {}
    seconds = pair_of(held.get(SEGMENT, [held.get(time) for time in TIMES]))
    if seconds is None:
        raise FieldError(f"{field}: a call of {name} with {str(dict(held))[:80]}; {WANTED}")
    return seconds


def pair_of(value: Any) -> tuple[float, float] | None:
    """Two numbers that stand in a list; None for anything else.

    >>> pair_of([12, 30]), pair_of([12]), pair_of([True, 3])
    ((12, 30), None, None)
    """
    if not isinstance(value, list) or len(value) != 2 or not {type(one) for one in value} <= {int, float}:
        return None
    return value[0], value[1]
