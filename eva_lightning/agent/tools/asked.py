"""What a call that is answered in words asks for: which clip, which stretch of it. Wrong ones are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eva_lightning.faults import ToolError
from eva_lightning.records import Clip
from eva_lightning.timecode import parse_seconds

CUT = "\n[...]\n"


def asked_clip(arguments: Mapping[str, Any], clips: Sequence[Clip]) -> Clip:
    """The clip that is named by id or number (from 1) under `clip`; the only one need not be named."""
    named = arguments.get("clip")
    if named is None and len(clips) == 1:
        return clips[0]
    for number, clip in enumerate(clips, start=1):
        if named == clip.id or (not isinstance(named, bool) and named in (number, str(number))):
            return clip
    known = ", ".join(clip.id for clip in clips)
    raise ToolError(f"clip is {named!r:.60}; it must be one of {known:.160}")


def asked_stretch(arguments: Mapping[str, Any], duration: float) -> tuple[float, float]:
    """The seconds from `start` to `end`, clamped to the clip; what is left out is the clip's own."""
    try:
        start = parse_seconds(_given(arguments, "start", 0.0))
        end = parse_seconds(_given(arguments, "end", duration))
    except ValueError as problem:
        raise ToolError(str(problem)) from None
    if end < start:
        raise ToolError(f"end {end:g} is before start {start:g}")
    if start >= duration or end < 0:
        raise ToolError(
            f"{start:g} to {end:g} seconds lies outside the clip, which is {duration:.1f} seconds long"
        )
    return max(start, 0.0), min(end, duration)


def _given(arguments: Mapping[str, Any], name: str, otherwise: float) -> Any:
    value = arguments.get(name)
    return otherwise if value is None else value


def shortened(text: str, most: int) -> str:
    """A text of no more characters than these: the begin and the end of it, where it is longer.

    >>> shortened("abcdefghijklmnop", 13), shortened("abc", 3)
    ('abc\\n[...]\\nnop', 'abc')
    """
    if len(text) <= most:
        return text
    kept = max(most - len(CUT), 0)
    head = (kept + 1) // 2
    return f"{text[:head]}{CUT}{text[len(text) - (kept - head) :]}"[:most]
