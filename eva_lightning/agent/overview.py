"""Overview: frames of each clip that are shown before the first turn.

EVA's agent has none: it plans before it looks. A baseline that plans nothing has an overview and no tool;
other agents begin with a few small frames and then look closer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.worlds.base import World
from eva_lightning.records import Clip, Span
from eva_lightning.video.sampling import Budget, plan, resize_within


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What is shown of each clip before the first turn."""

    frames: int = 32
    """Frames of each clip, spread from its begin to its end; 0 shows none."""
    resize: float = 1.0
    """Their size, as a ratio of the clip's own."""
    tokens: int = 12_000
    """Visual tokens that those of one clip may cost; above it they are fewer and smaller."""
    frame_tokens: int | None = None
    """Visual tokens that each of them may cost; above it they are smaller, and as many. None is no limit."""

    def __post_init__(self) -> None:
        if self.frames < 0:
            raise ValueError(f"overview: frames is {self.frames}: want 0 or more")
        for name, count in (("tokens", self.tokens), ("frame_tokens", self.frame_tokens)):
            if count is not None and count < 1:
                raise ValueError(f"overview: {name} is {count}: want 1 or more")
        if self.resize <= 0:
            raise ValueError(f"overview: resize is {self.resize:g}: want more than 0")

    def __bool__(self) -> bool:
        return self.frames > 0

    async def of(self, clip: Clip, world: World) -> Findings:
        """The frames of one clip, with their true times."""
        facts = await asyncio.to_thread(world.describe, clip)
        if facts.size is None:  # a clip that can only be heard, beside others
            return Findings()
        height, width = facts.size
        shown = plan(
            0.0,
            facts.duration,
            self.frames,
            self._resize(height, width, world.square),
            height=height,
            width=width,
            budget=Budget(tokens=self.tokens),
            room=self.tokens,
            square=world.square,
        )
        if not shown.times:
            return Findings(frames_cut=shown.frames_cut)
        return Findings(
            glimpses=tuple(await world.look(clip, shown.times, shown.height, shown.width)),
            tokens=shown.tokens,
            frames_cut=shown.frames_cut,
            spans=(Span(clip=clip.id, start=0.0, end=facts.duration),),
        )

    def _resize(self, height: int, width: int, square: int) -> float:
        if self.frame_tokens is None:
            return self.resize
        return min(self.resize, resize_within(height, width, self.frame_tokens, square))
