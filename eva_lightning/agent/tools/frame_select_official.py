"""frame_select with the habits of EVA's released evaluator, so that published numbers can be checked.

It differs from frame_select.py in six things, none of which is an improvement. Labels say the times that were
asked for, not those of the frames (a single frame is the middle of its range and is labelled with its start).
A range that is outside the video, empty or reversed shows the whole video. A time means the nearest frame,
not the one on show. The text of the labels is not counted in the budget. Frames that shrinking leaves over
the budget are shown all the same.

The nearest frame is found by the clip's mean rate, as there; in a file whose rate varies, and in a clip that
begins inside a frame, it may be a neighbour of theirs. The room that is left in the conversation still binds:
the script sends what does not fit and its server refuses it. Calls at which the script stops never come here:
see dialects/eva_official.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.tools.frame_select import FrameSelect, asked_range
from eva_lightning.agent.worlds.base import ClipFacts, World
from eva_lightning.records import Clip, ToolCall
from eva_lightning.video.sampling import Budget


class OfficialFrameSelect(FrameSelect):
    """Fetch frames of a range of seconds, with the labels of the released evaluator."""

    def __init__(self, tokens: int = 12_000) -> None:
        """
        Args:
            tokens: Visual tokens that one call may cost.
        """
        super().__init__(Budget(tokens=tokens, label_tokens=0, strict=False))

    async def run(self, call: ToolCall, clips: Sequence[Clip], world: World, room: int) -> Findings:
        return labelled(await super().run(call, clips, world, room), *asked_range(call.arguments))

    def within(self, start: float, end: float, duration: float) -> tuple[float, float]:
        """The part of a range inside the clip; the whole clip if that is empty."""
        low, high = max(start, 0.0), min(end, duration)
        return (low, high) if low < high else (0.0, duration)

    def moments(self, times: Sequence[float], facts: ClipFacts) -> Sequence[float]:
        """The middle of the frame that begins nearest to each time: no rounding can miss it there."""
        if facts.fps is None:
            return times
        return [(round(time * facts.fps) + 0.5) / facts.fps for time in times]


def labelled(found: Findings, start: float, end: float) -> Findings:
    """The glimpses of a call, labelled as if they were spread evenly over the range that was asked for."""
    step = (end - start) / max(len(found.glimpses) - 1, 1)
    glimpses = [
        replace(glimpse, label=start + step * number) for number, glimpse in enumerate(found.glimpses)
    ]
    return replace(found, glimpses=tuple(glimpses))
