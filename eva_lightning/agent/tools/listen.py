"""Listen to a stretch of one video, and be told in words what is said.

`listen(clip, start, end)`: whoever turns sound into words is the world's business. A stretch in which nothing
is said is an answer and no mistake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from eva_lightning.agent.tools.asked import asked_clip, asked_stretch, shortened
from eva_lightning.agent.tools.base import Findings, Tool
from eva_lightning.agent.worlds.base import World
from eva_lightning.faults import ToolError, UsageError
from eva_lightning.records import Clip, Span, ToolCall

SILENCE = "nothing is said"


class Listen(Tool):
    """Have what is said in a stretch of a video written down."""

    name = "listen"
    wants_words = True

    def __init__(self, seconds: float = 600.0, characters: int = 2000, calls: int | None = None) -> None:
        """
        Args:
            seconds: Longest stretch of one call.
            characters: Of what was said; what is longer loses its middle.
            calls: Calls that may be carried out in one trajectory; None is no limit.
        """
        if seconds <= 0 or min(characters, 1 if calls is None else calls) < 1:
            raise UsageError(
                f"{self.name} with seconds {seconds:g}, characters {characters}, calls {calls}: want more "
                "than 0 seconds, others 1 or more"
            )
        self.seconds, self.characters, self.calls = seconds, characters, calls

    def manual(self, clips: Sequence[str]) -> str:
        return (
            f"- clip: which video to listen to, out of {', '.join(clips)}.\n"
            "- start, end: from which second to which; left out: all of it. At most "
            f"{self.seconds:g} seconds a call.\n"
            "It comes back as what is said there, each piece with its seconds."
        )

    def example(self, clips: Sequence[str]) -> Mapping[str, Any]:
        return {"clip": clips[0], "start": 0, "end": 30}

    async def run(self, call: ToolCall, clips: Sequence[Clip], world: World, room: int) -> Findings:
        clip = asked_clip(call.arguments, clips)
        facts = await asyncio.to_thread(world.describe, clip)
        start, end = asked_stretch(call.arguments, facts.duration)
        if end - start > self.seconds:
            raise ToolError(
                f"{start:g} to {end:g} is longer than {self.seconds:g} seconds; listen to a part of it"
            )
        if room < 1:
            raise ToolError("there is no room left for words in this conversation; answer with what is known")
        sound = await world.listen(clip, start, end)
        return Findings(
            text=shortened(sound.text.strip() or SILENCE, min(self.characters, 4 * room)),
            spans=(Span(clip=clip.id, start=start, end=end),),
        )
