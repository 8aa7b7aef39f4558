"""What a range of seconds shows, in words of another model: a caption, or the answer to a question.

The two tools that VITAL's authors tried beside the frames themselves and dropped (a caption cost them 5.3
points of accuracy, an answer 4.1); here they are in no toolbox unless a config names them. The frames go to
an engine and never enter the conversation: they are counted as read elsewhere. A model that does not reply is
our failure and a `Fault`, not the agent's.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.tools.clip_frames import LABEL, ClipFrames
from eva_lightning.agent.worlds.base import World
from eva_lightning.engines.base import Engine, Sampling
from eva_lightning.engines.single_turn import ask, caption
from eva_lightning.faults import ToolError, UsageError
from eva_lightning.records import Clip, FrameRef, Part, ToolCall

QUESTION = 2000
"""Characters of a question that are put on."""


class ClipWords(ClipFrames):
    """A range of seconds, told by an engine that sees its frames."""

    def __init__(
        self,
        engine: Engine,
        max_tokens: int = 256,
        timeout: float = 300.0,
        fps: float = 2.0,
        frames: int = 64,
        frame_tokens: int = 64,
        longer_than: float = 1.0,
        outside: Literal["error", "clamp"] = "error",
        calls: int | None = 1,
    ) -> None:
        """
        Args:
            engine: Who sees the frames and writes: a ServerEngine, a CheckpointEngine.
            max_tokens: Tokens of one reply; what is longer is cut.
            timeout: Seconds to wait for one.
            fps: Frames a second.
            frames: At most so many a call; a range that has more is shown evenly and less densely.
            frame_tokens: Visual tokens of a frame; larger ones are shrunk (64 is 64 x 28 x 28 pixels).
            longer_than: Seconds that a range must be longer than; 0 allows any that does not run backwards.
            outside: What is done with a range that leaves the video: error tells the model, clamp cuts it.
            calls: Calls that may be carried out in one trajectory; None is no limit.
        """
        super().__init__(fps, frames, frame_tokens, longer_than, outside, calls)
        if max_tokens < 1 or timeout <= 0:
            raise UsageError(
                f"{self.name} with max_tokens {max_tokens}, timeout {timeout:g}: want 1 or more, above 0"
            )
        self.engine, self.max_tokens, self.timeout = engine, max_tokens, timeout

    @abstractmethod
    def request(self, arguments: Mapping[str, Any]) -> str:
        """What the engine is asked to write; the frames stand before it."""

    async def run(self, call: ToolCall, clips: Sequence[Clip], world: World, room: int) -> Findings:
        request = self.request(call.arguments)
        if room < 1:
            raise ToolError("there is no room left for words in this conversation; answer with what was seen")
        elsewhere = self.frames * (self.frame_tokens + LABEL)  # its frames take none of this conversation's
        clip, span, chosen = await self.choose(call, clips, world, elsewhere)
        glimpses = await world.look(clip, self.moments(span, chosen), chosen.height, chosen.width)
        parts: list[Part] = []
        for number, glimpse in enumerate(glimpses):
            parts += [caption(number, glimpse.time), glimpse.content]
        with self.engine.seat():
            said = await ask(
                self.engine,
                [*parts, f"\n{request}"],
                world.reader(clips),
                Sampling(temperature=0.0, max_tokens=min(self.max_tokens, room)),
                clips=clips,
                timeout=self.timeout,
            )
        seen = [one.content for one in glimpses if isinstance(one.content, FrameRef)]
        return Findings(
            text=said.text.strip() or "(no words came back)",
            spans=(span,),
            elsewhere=sum(frame.visual_tokens for frame in seen),
        )


class ClipCaption(ClipWords):
    """What happens in a range of seconds, in a few sentences."""

    name = "get_video_clip_caption"

    def request(self, arguments: Mapping[str, Any]) -> str:
        return "These are frames of a part of a video. Say in a few sentences what happens, and when."

    def brings(self) -> str:
        return "It comes back as a few sentences on what happens there; no frame is shown."


class ClipAnswer(ClipWords):
    """The answer of another model to a question on a range of seconds."""

    name = "ask_video_clip"

    def manual(self, clips: Sequence[str]) -> str:
        return f"- question: what you want to know of the window.\n{super().manual(clips)}"

    def example(self, clips: Sequence[str]) -> Mapping[str, Any]:
        return {**super().example(clips), "question": "What is on the table?"}

    def request(self, arguments: Mapping[str, Any]) -> str:
        question = arguments.get("question")
        if not isinstance(question, str) or not question.strip():
            raise ToolError(f"question is {question!r:.60}; it must say what you want to know")
        return (
            "These are frames of a part of a video. Answer from them alone, in a few words, and say so if "
            f"they do not show it.\n{question.strip()[:QUESTION]}"
        )

    def brings(self) -> str:
        return "It is looked at by another model, and its answer comes back; no frame is shown."
