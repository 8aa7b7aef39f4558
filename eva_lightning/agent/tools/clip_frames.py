"""VITAL's one tool: the frames of a range of seconds, dense, each with its true time.

`get_video_clip_frame(start_time, end_time)`: the model says where to look, settings say how densely and how
large. What VITAL's released code refuses is refused here in words that the model reads: a range that runs
backwards, that leaves the video, or that is a second long or shorter. There frames are drawn over with their
numbers and shown as one video; here they are images with their times in words before them, as everywhere in
this house, so that engine and trainer see the same pixels and a time is a time that the model can copy.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from eva_lightning.agent.tools.base import Findings, Tool, often
from eva_lightning.agent.tools.frame_select import asked_range, named_clip, native_size
from eva_lightning.agent.worlds.base import World
from eva_lightning.faults import ToolError, UsageError
from eva_lightning.records import Clip, FrameRef, Span, ToolCall
from eva_lightning.video.sampling import Budget, FramePlan, plan, resize_within

LABEL = Budget().label_tokens
"""Text tokens that a frame costs beside its pixels."""


class ClipFrames(Tool):
    """Fetch the frames of a range of seconds, at a fixed rate and size."""

    name = "get_video_clip_frame"
    wants_pictures = True

    def __init__(
        self,
        fps: float = 2.0,
        frames: int = 64,
        frame_tokens: int = 64,
        longer_than: float = 1.0,
        outside: Literal["error", "clamp"] = "error",
        calls: int | None = 1,
    ) -> None:
        """
        Args:
            fps: Frames a second.
            frames: At most so many a call; a range that has more is shown evenly and less densely.
            frame_tokens: Visual tokens of a frame; larger ones are shrunk (64 squares, of 28 x 28 pixels or
                of what the model takes for one).
            longer_than: Seconds that a range must be longer than; 0 allows any that does not run backwards.
            outside: What is done with a range that leaves the video: error tells the model, clamp cuts it.
            calls: Calls that may be carried out in one trajectory; None is no limit.
        """
        if fps <= 0 or min(frames, frame_tokens, 1 if calls is None else calls) < 1 or longer_than < 0:
            raise UsageError(
                f"{self.name} with fps {fps:g}, frames {frames}, frame_tokens {frame_tokens}, longer_than "
                f"{longer_than:g}, calls {calls}: want fps above 0, longer_than 0 or more, others 1 or more"
            )
        self.fps, self.frames, self.frame_tokens = fps, frames, frame_tokens
        self.longer_than, self.outside, self.calls = longer_than, outside, calls

    def manual(self, clips: Sequence[str]) -> str:
        which = f"- video: which one, out of {', '.join(clips)}.\n" if len(clips) > 1 else ""
        allowance = "" if self.calls is None else f" This tool can be called {often(self.calls)}."
        return (
            f"{which}- start_time, end_time: the window, in seconds; inside the video, and longer than "
            f"{self.longer_than:g} s. {self.brings()}{allowance}"
        )

    def example(self, clips: Sequence[str]) -> Mapping[str, Any]:
        named = {"video": clips[0]} if len(clips) > 1 else {}
        return {**named, "start_time": 30.0, "end_time": 45.5}

    async def run(self, call: ToolCall, clips: Sequence[Clip], world: World, room: int) -> Findings:
        clip, span, chosen = await self.choose(call, clips, world, room)
        glimpses = await world.look(clip, self.moments(span, chosen), chosen.height, chosen.width)
        frames = sum(isinstance(one.content, FrameRef) for one in glimpses)
        return Findings(
            glimpses=tuple(glimpses),
            tokens=chosen.tokens * frames // len(chosen.times),
            frames_cut=chosen.frames_cut,
            spans=(span,),
        )

    async def choose(
        self, call: ToolCall, clips: Sequence[Clip], world: World, room: int
    ) -> tuple[Clip, Span, FramePlan]:
        """Which clip, which range of it, and how many frames at which size, before anything is decoded."""
        clip = named_clip(call.arguments, clips)
        facts = await asyncio.to_thread(world.describe, clip)
        height, width = native_size(clip, facts)
        start, end = self.within(*asked_range(call.arguments), facts.duration)
        chosen = plan(
            start,
            end,
            self._count(end - start),
            resize_within(height, width, self.frame_tokens, self.square),
            height=height,
            width=width,
            budget=Budget(tokens=self.frames * (self.frame_tokens + LABEL)),
            room=room,
            square=self.square,
        )
        if not chosen.times:
            raise ToolError(
                "there is no room left for frames in this conversation; answer with what was seen"
            )
        return clip, Span(clip=clip.id, start=start, end=end), chosen

    def brings(self) -> str:
        """What it comes back with, for its manual."""
        return f"It is shown at {self.fps:g} frames a second, with {self.frames} frames at most."

    def within(self, start: float, end: float, duration: float) -> tuple[float, float]:
        """The range, if it may be looked at."""
        if start > end or (start == end and self.longer_than):
            raise ToolError(f"start_time {start:g} must be before end_time {end:g}")
        if start >= duration or end < 0:
            raise ToolError(
                f"{start:g} to {end:g} seconds lies outside the video, which is {duration:.2f} seconds long"
            )
        if self.outside == "clamp":
            start, end = max(start, 0.0), min(end, duration)
        if start < 0:
            raise ToolError(f"start_time is {start:g}; it must be 0 or more")
        if end > duration:
            raise ToolError(f"end_time is {end:g}; the video is {duration:.2f} seconds long")
        if end - start <= self.longer_than and self.longer_than:
            raise ToolError(
                f"{start:g} to {end:g} seconds is too short; the window must be longer than "
                f"{self.longer_than:g} seconds"
            )
        return start, end

    def moments(self, span: Span, chosen: FramePlan) -> list[float]:
        """The seconds to look at, from the begin on: `fps` of them a second, or as many as fit."""
        many = len(chosen.times)
        step = (span.end - span.start) / many if chosen.frames_cut or many == self.frames else 1 / self.fps
        return [span.start + step * number for number in range(many)]

    def _count(self, seconds: float) -> int:
        """Frames of a range, the end left out: the frame that is on show there may be the next scene's."""
        return min(max(math.ceil(seconds * self.fps - 1e-6), 1), self.frames)
