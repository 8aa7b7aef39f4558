"""Dialects: how calls and answers are spelled.

A dialect turns a task into opening messages, model text into calls or an answer, and findings into what the
model reads next. It decides no meaning: tools check arguments, rewards judge answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from eva_lightning.agent.tools.base import Findings, Tool
from eva_lightning.agent.worlds.base import ClipFacts
from eva_lightning.records import Message, Part, Task, ToolCall


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What a turn of the model says: an answer, calls, a malformed call (problem), or nothing of these."""

    calls: tuple[ToolCall, ...] = ()
    """Well-formed calls, in the order written."""
    answer: str | None = None
    """The final answer, a substring of the turn's text; None if there is none. An answer wins over calls."""
    problem: str | None = None
    """What is malformed about an attempted call, in words the model can act on."""


class Dialect(ABC):
    """The spelling of one family of checkpoints."""

    bare_answers: bool = True
    """Whether all that an agent without tools writes is its answer, where it stands in no tags."""

    @abstractmethod
    def opening(
        self,
        task: Task,
        facts: Sequence[ClipFacts],
        *,
        tools: Sequence[Tool] = (),
        shown: Sequence[Findings] = (),
    ) -> tuple[Message, ...]:
        """The messages before the first turn.

        `facts` and what was `shown` of them (if there is an overview) are those of `task.clips`, in order;
        `tools` are what the agent can do.
        """

    @abstractmethod
    def parse(self, text: str) -> Parsed:
        """Read a turn. Never raises."""

    @abstractmethod
    def observation(
        self, task: Task, findings: Sequence[Findings], problems: Sequence[str]
    ) -> tuple[Part, ...]:
        """The tool message: what the calls found and what was wrong with those that failed."""

    @abstractmethod
    def call(self, name: str, /, **arguments: object) -> str:
        """How this dialect writes a call: for teachers and scripts."""

    @abstractmethod
    def reply(self, answer: str) -> str:
        """How this dialect writes a final answer: for teachers and scripts."""

    def flaw(self, text: str) -> str | None:
        """What is wrong with the form of a turn, in a line; None if it is as this dialect wants it.

        `parse` says what a turn means, and lets pass what does no harm; a reward may ask for more.
        """
        parsed = self.parse(text)
        if parsed.answer is None and not parsed.calls and parsed.problem is None:
            return "neither a call nor an answer"
        return parsed.problem

    def manual(self, tools: Sequence[Tool], clips: Sequence[str]) -> str:
        """How each tool is called and what its arguments mean, for a model that was never trained on them.

        `clips` are the ids of the task's clips.
        """
        spelled = [(self.call(tool.name, **tool.example(clips)), tool.manual(clips)) for tool in tools]
        return "\n".join(f"The tool is called like this:\n{call}\n{manual}" for call, manual in spelled)

    def with_manual(self, system: str, tools: Sequence[Tool], clips: Sequence[str]) -> str:
        """A system message with the manual of the tools behind it, if there are any."""
        explained = self.manual(tools, clips)
        return f"{system}\n\n{explained}" if explained else system


def joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Neighbouring texts as one, so that a message has one text between two frames.

    >>> joined(["a", "b"])
    ('ab',)
    """
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)
