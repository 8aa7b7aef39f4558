"""A baseline that plans nothing: so many frames of the whole clip, once, then the answer. No tool is offered.

What published "32 frames" rows mean. In a config one line: `dialect: {class_path: UniformFrames, init_args:
{frames: 32}}`.
"""

from __future__ import annotations

from collections.abc import Sequence

from eva_lightning.agent.dialects.base import Parsed
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.worlds.base import ClipFacts
from eva_lightning.records import FrameRef, Message, Part, Task
from eva_lightning.video.sampling import Budget, plan

ASK = "Answer the question about the video whose frames are shown."


class UniformFrames(EvaDialect):
    """Shows frames first and takes whatever is written as the answer."""

    def __init__(
        self, frames: int = 32, tokens: int = 12_000, resize: float = 1.0, system: str = ASK
    ) -> None:
        """
        Args:
            frames: Frames of each clip, spread from its begin to its end.
            tokens: Visual tokens they may cost, labels included; above it they are fewer and smaller.
            resize: Their size, as a ratio of the clip's own.
            system: The system message.
        """
        super().__init__(system=system)
        self.frames, self.tokens, self.resize = frames, tokens, resize

    def opening(self, task: Task, facts: Sequence[ClipFacts]) -> tuple[Message, ...]:
        system, user = super().opening(task, facts)
        parts: list[Part] = []
        for clip, known in zip(task.clips, facts, strict=True):
            shown = plan(
                0.0,
                known.duration,
                self.frames,
                self.resize,
                height=known.height,
                width=known.width,
                budget=Budget(tokens=self.tokens),
                room=self.tokens,
            )
            parts += [
                FrameRef(clip=clip.id, time=round(time, 6), height=shown.height, width=shown.width)
                for time in shown.times
            ]
        return system, Message(role="user", parts=(*parts, *user.parts))

    def parse(self, text: str) -> Parsed:
        """The tagged answer, a bare "Answer: B", or else all that was written."""
        said = super().parse(text)
        return Parsed(answer=said.answer if said.answer is not None else text.strip() or None)
