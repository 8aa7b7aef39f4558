"""The spelling of the released EVA checkpoint: tags in, frames with times out.

The strings are those of its evaluation script, misspelling included, because the checkpoint learned them.
Where that script gives up (a malformed call, a range past the end) this dialect tells the model what was
wrong instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal

from eva_lightning.agent.dialects.base import Dialect, Parsed, joined
from eva_lightning.agent.dialects.calls import between, calls_in
from eva_lightning.agent.tools.base import Findings, Tool
from eva_lightning.agent.worlds.base import ClipFacts, Glimpse
from eva_lightning.records import Message, Part, Task, ToolCall
from eva_lightning.timecode import clock

SYSTEM = "Use Frame Select Tool to Anlysis the video and generate an answer to the question."
WITHOUT_TOOL = "Answer the question about the video whose frames are shown."

_LETTER_AT_THE_END = re.compile(r"[Aa]nswer[.:\s]\s*(\w)(\W.{,100}|)$", re.DOTALL)


class EvaDialect(Dialect):
    """EVA's tags: <tool_call>{"tool": ..., "arguments": {...}}</tool_call> and <answer>...</answer>."""

    def __init__(
        self,
        timestamps: Literal["clock", "seconds"] = "clock",
        system: str | None = None,
        explain_tools: bool = False,
    ) -> None:
        """
        Args:
            timestamps: How frame labels say the time: "[01:15]" (the released checkpoint) or "75 seconds".
            system: The system message; None takes that of the released checkpoint, or one that names no tool
                where there is none.
            explain_tools: Add the manual of each tool to it, for tools that the model was not trained on.
        """
        self.timestamps = timestamps
        self.system = system
        self.explain_tools = explain_tools

    def opening(
        self,
        task: Task,
        facts: Sequence[ClipFacts],
        *,
        tools: Sequence[Tool] = (),
        shown: Sequence[Findings] = (),
    ) -> tuple[Message, ...]:
        about = []
        for clip, known in zip(task.clips, facts, strict=True):
            name = f"{clip.id}: " if len(task.clips) > 1 else ""
            seconds = int(max(known.duration - 0.5, 1))
            size = f"Original video resolution: {min(known.size)}p. " if known.size else ""
            about.append(f"{name}Video Length: {seconds} seconds. {size}")
        user = "".join(about) + task.text.strip()
        frames = tuple(glimpse.content for found in shown for glimpse in found.glimpses)
        system = self._system(tools, [clip.id for clip in task.clips])
        return Message(role="system", parts=(system,)), Message(role="user", parts=(*frames, user))

    def _system(self, tools: Sequence[Tool], clips: Sequence[str]) -> str:
        system = self.system or (SYSTEM if tools else WITHOUT_TOOL)
        return self.with_manual(system, tools, clips) if self.explain_tools else system

    def parse(self, text: str) -> Parsed:
        """A tagged answer wins; then calls; then a malformed call; then a bare "Answer: B" at the end."""
        tagged = tagged_answer(text)
        if tagged is not None:
            return Parsed(answer=tagged)
        found = calls_in(text)
        if found:
            return Parsed(
                calls=tuple(one for one in found if isinstance(one, ToolCall)),
                problem="; ".join(one for one in found if isinstance(one, str)) or None,
            )
        return Parsed(answer=letter_at_the_end(text))

    def observation(
        self, task: Task, findings: Sequence[Findings], problems: Sequence[str]
    ) -> tuple[Part, ...]:
        parts: list[Part] = ["<tool_response>"]
        number = 0
        for found in findings:
            if found.text:
                parts.append(f"\n{found.text}")
            for glimpse in found.glimpses:
                parts += [self._label(number, glimpse), glimpse.content]
                if glimpse.note:
                    parts.append(f" ({glimpse.note})")
                number += 1
        parts += [f"\nError: {problem}" for problem in problems]
        parts.append(
            "\nIf more information is needed, call the frame selection tool again.\n\n"
            f"Question: {task.text.strip()}</tool_response>"
        )
        return joined(parts)

    def call(self, name: str, /, **arguments: object) -> str:
        return f"<tool_call>{json.dumps({'tool': name, 'arguments': arguments})}</tool_call>"

    def reply(self, answer: str) -> str:
        return f"<answer>{answer}</answer>"

    def _label(self, number: int, glimpse: Glimpse) -> str:
        # A frame that begins up to 50 ms before a whole second is the one on show at that second.
        shown = glimpse.time + 0.05 if glimpse.label is None else glimpse.label
        if self.timestamps == "seconds":
            return f"\nFrame {number} at {int(shown)} seconds:"
        return f"{chr(10) if number else ''}Frame {number} at [{clock(shown)}]: "


def tagged_answer(text: str) -> str | None:
    """What stands between the first pair of answer tags; None if nothing does."""
    tagged, _ = between(text, "<answer>", "</answer>")
    return (tagged or "").strip() or None


def letter_at_the_end(text: str) -> str | None:
    """The letter of a bare "Answer: B" that ends a text, or nearly so."""
    bare = _LETTER_AT_THE_END.search(text)
    return bare.group(1) if bare else None
