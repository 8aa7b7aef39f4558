"""The spelling of VITAL: a thought, then a call or the answer, each between tags of its own.

`<think>`, `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, `<answer>`. What stands inside a
thought does nothing. The released code stops its sampler at the closing tags, so the policy never learns to
end a turn that calls; here it samples the end of every turn, and is trained on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from eva_lightning.agent.dialects.base import Dialect, Parsed, joined
from eva_lightning.agent.dialects.calls import Keys, between, calls_in
from eva_lightning.agent.dialects.seconds import Seconds
from eva_lightning.agent.tools.base import Findings, Tool
from eva_lightning.agent.worlds.base import ClipFacts
from eva_lightning.records import Message, Part, Span, Task, ToolCall

SYSTEM = (
    "Think first, between <think> and </think>. Then either call a tool, or give the final answer between "
    "<answer> and </answer>."
)
WITHOUT_TOOL = (
    "Think first, between <think> and </think>. Then give the final answer between <answer> and </answer>."
)
KEYS = Keys(name=("name",), arguments=("arguments",), quoted=False)

_TAG = re.compile("(</?(?:think|tool_call|answer)>)")
_FIRST = re.compile("<think>|<tool_call>|<answer>")


class VitalDialect(Dialect):
    """VITAL's tags: <think>...</think>, then <tool_call>...</tool_call> or <answer>...</answer>."""

    bare_answers = False  # a thought is no answer

    def __init__(self, decimals: int = 2, system: str | None = None, explain_tools: bool = True) -> None:
        """
        Args:
            decimals: Of the seconds in labels and in the length of the video; 0 says whole seconds.
            system: The system message; None asks for a thought and a call or an answer.
            explain_tools: Add the manual of each tool to it, as VITAL's chat template does.
        """
        self.seconds = Seconds(decimals=decimals, unit="seconds")
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
        parts: list[Part] = []
        for place, (clip, known) in enumerate(zip(task.clips, facts, strict=True)):
            named = len(task.clips) > 1
            if named:
                parts.append(f"{clip.id}:\n")
            for glimpse in shown[place].glimpses if shown else ():
                parts += self.seconds.labelled(glimpse)
            which = clip.id if named else "This"
            parts.append(f"{which} is a video with duration {self.seconds.within(known.duration)} seconds.\n")
        parts.append(task.text.strip())
        system = self._system(tools, [clip.id for clip in task.clips])
        return Message(role="system", parts=(system,)), Message(role="user", parts=joined(parts))

    def _system(self, tools: Sequence[Tool], clips: Sequence[str]) -> str:
        system = self.system or (SYSTEM if tools else WITHOUT_TOOL)
        return self.with_manual(system, tools, clips) if self.explain_tools else system

    def parse(self, text: str) -> Parsed:
        """After the thought a tagged answer wins; then calls; then a malformed call."""
        said = after_thought(text)
        if said is None:
            return Parsed(problem="the thought is not closed with </think>")
        answer = (between(said, "<answer>", "</answer>")[0] or "").strip()
        if answer:
            return Parsed(answer=answer)
        found = calls_in(said, keys=KEYS)
        return Parsed(
            calls=tuple(one for one in found if isinstance(one, ToolCall)),
            problem="; ".join(one for one in found if isinstance(one, str)) or None,
        )

    def flaw(self, text: str) -> str | None:
        """One thought, then calls or one answer, and not a word beside them."""
        bare = text.strip()
        thought, end = between(bare, "<think>", "</think>")
        if not bare.startswith("<think>") or not (thought or "").strip():
            return "does not begin with a thought between <think> and </think>"
        pieces = _TAG.split(bare[end:])
        tags, beside = pieces[1::2], "".join(pieces[::4])
        called = ["<tool_call>", "</tool_call>"] * max(len(tags) // 2, 1)
        if beside.strip() or tags not in (called, ["<answer>", "</answer>"]):
            return "after the thought stands something else than calls or one answer"
        return super().flaw(bare)

    def observation(
        self, task: Task, findings: Sequence[Findings], problems: Sequence[str]
    ) -> tuple[Part, ...]:
        parts: list[Part] = ["<tool_response>\n"]
        for found in findings:
            parts += [self._range(span, task) for span in found.spans]
            if found.text:
                parts.append(f"{found.text}\n")
            for glimpse in found.glimpses:
                parts += self.seconds.labelled(glimpse)
        parts += [f"Error: {problem}\n" for problem in problems]
        return joined([*parts, "</tool_response>"])

    def call(self, name: str, /, **arguments: object) -> str:
        return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"

    def reply(self, answer: str) -> str:
        return f"<answer>{answer}</answer>"

    def _range(self, span: Span, task: Task) -> str:
        of = f" of {span.clip}" if len(task.clips) > 1 else ""
        if span.start == span.end:
            return f"Video clip{of} at {self.seconds.written(span.start)} seconds.\n"
        start, end = map(self.seconds.written, (span.start, span.end))
        return f"Video clip{of} from {start} to {end} seconds.\n"


def after_thought(text: str) -> str | None:
    """What a turn says after its thoughts; None if one is left open and tags stand in it.

    >>> after_thought("<think>or <answer>A</answer>?</think><answer>B</answer>")
    '<answer>B</answer>'
    """
    position = 0
    while (tag := _FIRST.search(text, position)) is not None and tag[0] == "<think>":
        thought, end = between(text, "<think>", "</think>", tag.start())
        if thought is None:
            return None if _FIRST.search(text, tag.end()) else ""
        position = end
    return text[position:]
