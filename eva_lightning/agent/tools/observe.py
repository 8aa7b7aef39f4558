"""Observe several stretches of several videos at once, and be told in words what they show.

`observe(targets=[{clip, start, end, frames}], focus)`: whoever tells is the world's business, a script or a
model that sees the frames. Moments lie in the middle of equal parts of a stretch, so none is on a border.
What is read elsewhere for a call is counted; the words alone enter the conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eva_lightning.agent.tools.asked import asked_clip, asked_stretch, shortened
from eva_lightning.agent.tools.base import Findings, Tool
from eva_lightning.agent.worlds.base import World
from eva_lightning.faults import ToolError, UsageError
from eva_lightning.records import Clip, Span, ToolCall

FOCUS = 2000
"""Characters of a focus that are put on."""


@dataclass(frozen=True, kw_only=True)
class _Target:
    """A stretch of a clip, and how densely to look at it."""

    clip: Clip
    start: float
    end: float
    frames: int

    @property
    def times(self) -> tuple[float, ...]:
        """The middles of equal parts.

        >>> _Target(clip=Clip(id="v"), start=10, end=14, frames=2).times
        (11.0, 13.0)
        """
        step = (self.end - self.start) / self.frames
        return tuple(self.start + step * (number + 0.5) for number in range(self.frames))


class Observe(Tool):
    """Have stretches of the videos told, with a question in mind."""

    name = "observe"
    wants_words = True

    def __init__(
        self,
        targets: int = 8,
        frames: int = 32,
        call_frames: int = 128,
        characters: int = 2000,
        calls: int | None = None,
    ) -> None:
        """
        Args:
            targets: Stretches that one call may name.
            frames: Frames of a stretch that does not say how many.
            call_frames: Frames of all stretches of a call; where more are asked for, each gets fewer.
            characters: Of what is told; what is longer loses its middle.
            calls: Calls that may be carried out in one trajectory; None is no limit.
        """
        least = min(targets, frames, characters, 1 if calls is None else calls)
        if least < 1 or call_frames < targets:
            raise UsageError(
                f"{self.name} with targets {targets}, frames {frames}, call_frames {call_frames}, characters "
                f"{characters}, calls {calls}: want 1 or more, and a frame for every target"
            )
        self.targets, self.frames, self.call_frames = targets, frames, call_frames
        self.characters, self.calls = characters, calls

    def manual(self, clips: Sequence[str]) -> str:
        return (
            f"- targets: up to {self.targets} stretches to look at, each with clip (one of "
            f"{', '.join(clips)}), start and end (in seconds of that clip; left out: all of it) and frames "
            f"(how many moments of it, spread evenly; {self.frames} if left out). One call looks at "
            f"{self.call_frames} moments at most.\n"
            "- focus: what you want to know of them, in a sentence.\n"
            "It comes back as words; what lies between two moments stays unseen."
        )

    def example(self, clips: Sequence[str]) -> Mapping[str, Any]:
        stretch = {"start": 0, "end": 30, "frames": 6}
        return {"targets": [{"clip": clip, **stretch} for clip in clips[:2]], "focus": "What is being done?"}

    async def run(self, call: ToolCall, clips: Sequence[Clip], world: World, room: int) -> Findings:
        focus = call.arguments.get("focus")
        if not isinstance(focus, str) or not focus.strip():
            raise ToolError(f"focus is {focus!r:.60}; it must say in words what you want to know")
        asked = await self._targets(call.arguments.get("targets"), clips, world)
        if room < 1:
            raise ToolError("there is no room left for words in this conversation; answer with what is known")
        targets = self._affordable(asked)
        looks = [world.viewing(one.clip, one.times) for one in targets]
        told = await world.tell(looks, focus.strip()[:FOCUS])
        return Findings(
            text=shortened(told, min(self.characters, 4 * room)),
            frames_cut=sum(one.frames for one in asked) - sum(one.frames for one in targets),
            spans=tuple(Span(clip=one.clip.id, start=one.start, end=one.end) for one in targets),
            elsewhere=sum(look.visual_tokens for look in looks),
        )

    async def _targets(self, targets: Any, clips: Sequence[Clip], world: World) -> list[_Target]:
        """What was asked for, checked one after the other."""
        if not isinstance(targets, list) or not targets:
            raise ToolError(
                f"targets is {targets!r:.60}; it must be a list of stretches: "
                '[{"clip": ..., "start": ..., "end": ..., "frames": ...}]'
            )
        if len(targets) > self.targets:
            raise ToolError(f"{len(targets)} targets in one call; at most {self.targets} are looked at")
        found = []
        for number, target in enumerate(targets, start=1):
            try:
                found.append(await self._target(target, clips, world))
            except ToolError as mistake:
                raise ToolError(f"target {number}: {mistake}") from None
        return found

    async def _target(self, target: Any, clips: Sequence[Clip], world: World) -> _Target:
        if not isinstance(target, dict):
            raise ToolError(f"{target!r:.60} is no object with clip, start, end and frames")
        unknown = [key for key in target if key not in ("clip", "start", "end", "frames")]
        if unknown:
            raise ToolError(f"{unknown[0]!r:.60} is none of clip, start, end and frames")
        clip = asked_clip(target, clips)
        frames = target.get("frames", self.frames)
        if isinstance(frames, bool) or not isinstance(frames, int) or frames < 1:
            raise ToolError(f"frames is {frames!r:.60}; it must be a whole number, at least 1")
        facts = await asyncio.to_thread(world.describe, clip)
        start, end = asked_stretch(target, facts.duration)
        frames = min(frames, 1_000_000) if end > start else 1
        return _Target(clip=clip, start=start, end=end, frames=frames)

    def _affordable(self, asked: Sequence[_Target]) -> list[_Target]:
        """The same stretches with no more frames than a call may have; those that ask for few keep theirs."""
        left, given = self.call_frames, {}
        order = sorted(range(len(asked)), key=lambda place: asked[place].frames)
        for done, place in enumerate(order):
            given[place] = min(asked[place].frames, left // (len(asked) - done))
            left -= given[place]
        return [
            _Target(clip=one.clip, start=one.start, end=one.end, frames=given[place])
            for place, one in enumerate(asked)
        ]
