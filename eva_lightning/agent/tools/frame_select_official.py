"""frame_select with the habits of EVA's released evaluator, so that published numbers can be checked.

It differs from frame_select.py in three things, none of which is an improvement: labels say the times that
were asked for, not those of the frames (a single frame is the middle of its range and is labelled with its
start); a range outside the video shows the whole video; the text of the labels is not counted in the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.tools.frame_select import FrameSelect, asked_range
from eva_lightning.agent.worlds.base import World
from eva_lightning.faults import ToolError
from eva_lightning.records import Clip, ToolCall
from eva_lightning.video.sampling import Budget


class OfficialFrameSelect(FrameSelect):
    """Fetch frames of a range of seconds, with the labels of the released evaluator."""

    def __init__(self, tokens: int = 12_000) -> None:
        """
        Args:
            tokens: Visual tokens that one call may cost.
        """
        super().__init__(Budget(tokens=tokens, label_tokens=0))

    def within(self, start: float, end: float, duration: float) -> tuple[float, float]:
        low, high = max(start, 0.0), min(end, duration)
        return (low, high) if low <= high else (0.0, duration)

    async def run(self, call: ToolCall, clips: Sequence[Clip], world: World, room: int) -> Findings:
        found = await super().run(call, clips, world, room)
        start, end = asked_range(call.arguments)
        if end < start:
            raise ToolError(f"end_time {end:g} is before start_time {start:g}")
        step = (end - start) / max(len(found.glimpses) - 1, 1)
        labelled = [
            replace(glimpse, label=start + step * number) for number, glimpse in enumerate(found.glimpses)
        ]
        return replace(found, glimpses=tuple(labelled))
