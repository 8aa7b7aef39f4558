"""EVA's one tool: watch a range of seconds with so many frames at such a size.

`frame_select(start_time, end_time, nframes, resize)`: times are seconds or [HH:]MM:SS; `resize` is a ratio of
the native frame. The range is clamped to the clip; a range that lies outside, or runs backwards, is the
model's mistake.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

from eva_lightning.agent.tools.base import Findings, Tool
from eva_lightning.agent.worlds.base import ClipFacts, World
from eva_lightning.faults import ToolError
from eva_lightning.records import Clip, FrameRef, Span, ToolCall
from eva_lightning.timecode import parse_seconds
from eva_lightning.video.sampling import Budget, plan

LARGEST = 100.0
"""Size at which a larger one is the same: both are far above any budget, and a pixel count stays a number."""

MOST = 1_000_000
"""Frames from which on more are the same: no conversation has room for as many."""


class FrameSelect(Tool):
    """Fetch frames of a range of seconds."""

    name = "frame_select"
    wants_pictures = True

    def __init__(self, budget: Budget | None = None) -> None:
        """
        Args:
            budget: What one call may cost, in tokens; None takes the published 12,000.
        """
        self.budget = budget or Budget()

    def manual(self, clips: Sequence[str]) -> str:
        which = f"- video: which one, out of {', '.join(clips)}.\n" if len(clips) > 1 else ""
        return (
            f"{which}"
            "- start_time, end_time: the window, in seconds or MM:SS; equal ones mean a single moment.\n"
            "- nframes: how many frames, spread evenly over the window.\n"
            "- resize: their size as a ratio of the original, 1.0 or less; a frame costs (height / "
            f"{self.square}) x (width / {self.square}) visual tokens, and one call at most "
            f"{self.budget.tokens}.\n"
            "Take few small frames of a long window, and larger ones of a short window. Frames less than a "
            "second apart, and windows you have seen before, seldom tell you more."
        )

    def example(self, clips: Sequence[str]) -> Mapping[str, Any]:
        named = {"video": clips[0]} if len(clips) > 1 else {}
        return {**named, "start_time": 30, "end_time": 60, "nframes": 6, "resize": 0.5}

    async def run(self, call: ToolCall, clips: Sequence[Clip], world: World, room: int) -> Findings:
        arguments = call.arguments
        clip = named_clip(arguments, clips)
        facts = await asyncio.to_thread(world.describe, clip)
        height, width = native_size(clip, facts)
        start, end = self.within(*asked_range(arguments), facts.duration)
        count = asked_count(arguments) if end > start else 1
        request = plan(
            start,
            end,
            count,
            asked_resize(arguments),
            height=height,
            width=width,
            budget=self.budget,
            room=room,
            square=self.square,
        )
        if not request.times:
            raise ToolError(
                "there is no room left for frames in this conversation; answer with what was seen"
            )
        moments = self.moments(request.times, facts)
        glimpses = await world.look(clip, moments, request.height, request.width)
        frames = sum(isinstance(one.content, FrameRef) for one in glimpses)
        return Findings(
            glimpses=tuple(glimpses),
            tokens=request.tokens * frames // len(request.times),
            frames_cut=request.frames_cut,
            spans=(Span(clip=clip.id, start=start, end=end),),
        )

    def within(self, start: float, end: float, duration: float) -> tuple[float, float]:
        """The part of a range that lies inside the clip."""
        if end < start:
            raise ToolError(f"end_time {end:g} is before start_time {start:g}")
        if start >= duration or end < 0:
            raise ToolError(
                f"{start:g} to {end:g} seconds lies outside the video, which is {duration:.1f} seconds long"
            )
        return max(start, 0.0), min(end, duration)

    def moments(self, times: Sequence[float], facts: ClipFacts) -> Sequence[float]:
        """The seconds at which to look: the frame on show at each time."""
        return times


def named_clip(arguments: Any, clips: Sequence[Clip]) -> Clip:
    """The clip that is meant: the only one, or the one named by id or number (from 1) under `video`."""
    if len(clips) == 1:
        return clips[0]
    named = arguments.get("video")
    for number, clip in enumerate(clips, start=1):
        if named in (clip.id, number, str(number)):
            return clip
    raise ToolError(f"video is {named!r:.60}; it must be one of {', '.join(clip.id for clip in clips)}")


def native_size(clip: Clip, facts: ClipFacts) -> tuple[int, int]:
    """Height and width of a clip; to fetch frames of one that has none is the model's mistake."""
    if facts.size is None:
        raise ToolError(f"{clip.id!r} has no pictures, so there are no frames to fetch")
    return facts.size


def asked_range(arguments: Any) -> tuple[float, float]:
    """The range as the model wrote it, in seconds."""
    for name in ("start_time", "end_time"):
        if arguments.get(name) is None:
            raise ToolError(f"{name} is missing")
    try:
        return parse_seconds(arguments["start_time"]), parse_seconds(arguments["end_time"])
    except ValueError as problem:
        raise ToolError(str(problem)) from None


def asked_count(arguments: Any) -> int:
    """The number of frames that the model wants."""
    count = _number(arguments, "nframes")
    if count is None:
        raise ToolError("nframes is missing")
    if count < 1 or count != int(count):
        raise ToolError(f"nframes is {count:g}; it must be a whole number, at least 1")
    return int(min(count, MOST))


def asked_resize(arguments: Any) -> float:
    """Their size, as a ratio of the native one."""
    resize = _number(arguments, "resize")
    if resize is None:
        return 1.0
    if resize <= 0:
        raise ToolError(f"resize is {resize:g}; it must be above 0 (1.0 is the native size)")
    return min(resize, LARGEST)


def _number(arguments: Any, name: str) -> float | None:
    value = arguments.get(name)
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ToolError(f"{name} is {value!r:.60}; it must be a number")
    return number
