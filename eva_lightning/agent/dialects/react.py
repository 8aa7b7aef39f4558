"""One JSON object a turn: a thought, an action, and what it is done with.

`{"thought": ..., "action": "observe", "params": {...}}`, and at the end
`{"thought": ..., "action": "answer", "final_answer": ...}`, which ends the trajectory. A turn is that object
and nothing beside it; a fence around it is let pass, and so are a model's own thoughts before `</think>`,
which stay in the conversation as they were written. Anything else is told to the model, in a line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from eva_lightning.agent.dialects.base import Dialect, Parsed, joined
from eva_lightning.agent.dialects.calls import CHARACTERS, NAME
from eva_lightning.agent.dialects.seconds import Seconds
from eva_lightning.agent.tools.base import Findings, Tool
from eva_lightning.agent.worlds.base import ClipFacts
from eva_lightning.files.foreign_json import Unfit, read_json
from eva_lightning.records import Message, Part, Span, Task, ToolCall

ANSWER = "answer"
"""The action that ends a trajectory."""
SYSTEM = (
    "You answer a question about one or several videos, which you can not see yourself. Each of your "
    'messages is one JSON object and nothing beside it. Think first, under "thought"; then act, under '
    '"action".\n'
    'When you know the answer: {"thought": "...", "action": "answer", "final_answer": "..."}'
)
WANTED = '{"thought": "...", "action": "...", "params": {...}}'


class ReActDialect(Dialect):
    """A JSON object a turn, with thought and action."""

    bare_answers = False

    def __init__(self, decimals: int = 1, system: str | None = None, explain_tools: bool = True) -> None:
        """
        Args:
            decimals: Of the seconds of videos and stretches; 0 says whole seconds.
            system: The system message; None says that each message is an object, and how to answer.
            explain_tools: Add the manual of each tool to it.
        """
        self.seconds = Seconds(decimals=decimals, unit="s")
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
        parts: list[Part] = ["Videos:\n"]
        for place, (clip, known) in enumerate(zip(task.clips, facts, strict=True)):
            parts.append(f"- {clip.id}: {self.seconds.within(known.duration)} seconds\n")
            for glimpse in shown[place].glimpses if shown else ():
                parts += self.seconds.labelled(glimpse)
        parts.append(f"\n{task.text.strip()}")
        system = self._system(tools, [clip.id for clip in task.clips])
        return Message(role="system", parts=(system,)), Message(role="user", parts=joined(parts))

    def _system(self, tools: Sequence[Tool], clips: Sequence[str]) -> str:
        system = SYSTEM if self.system is None else self.system
        return self.with_manual(system, tools, clips) if self.explain_tools else system

    def parse(self, text: str) -> Parsed:
        """The one object of a turn, or what keeps it from being one."""
        spelled = _bare(text)
        if not spelled:
            return Parsed(problem=f"there is no JSON object in your message; want {WANTED}")
        if len(spelled) > CHARACTERS:
            return Parsed(problem=f"the message has {len(spelled)} characters; at most {CHARACTERS} are read")
        try:
            said = read_json(spelled)
        except Unfit as problem:
            return Parsed(problem=f"the message is not one JSON object and nothing beside it ({problem})")
        if not isinstance(said, dict):
            return Parsed(problem=f"the message must be an object: {WANTED}")
        action = said.get("action")
        if not isinstance(action, str) or not action.strip():
            return Parsed(problem=f'the message names no "action": want {WANTED}')
        if len(action) > NAME:
            return Parsed(problem=f"the action has {len(action)} characters; at most {NAME} are read")
        return _answered(said) if action == ANSWER else _called(action, said, spelled)

    def flaw(self, text: str) -> str | None:
        """An object that begins with a thought, and no fence around it."""
        problem = super().flaw(text)
        if problem is not None:
            return problem
        bare = _after_thinking(text)
        if not bare.startswith("{"):
            return "the object stands in a fence"
        said = read_json(bare)
        thought = said.get("thought")
        if next(iter(said)) != "thought" or not isinstance(thought, str) or not thought.strip():
            return 'the object does not begin with a "thought"'
        return None

    def observation(
        self, task: Task, findings: Sequence[Findings], problems: Sequence[str]
    ) -> tuple[Part, ...]:
        parts: list[Part] = []
        for found in findings:
            if found.spans:
                parts.append(f"{'; '.join(map(self._stretch, found.spans))}:\n")
            if found.text:
                parts.append(f"{found.text}\n")
            for glimpse in found.glimpses:
                parts += self.seconds.labelled(glimpse)
        parts += [f"Error: {problem}\n" for problem in problems]
        return joined(parts) or ("\n",)

    def call(self, name: str, /, **arguments: object) -> str:
        return json.dumps({"action": name, "params": arguments}, ensure_ascii=False)

    def reply(self, answer: str) -> str:
        return json.dumps({"action": ANSWER, "final_answer": answer}, ensure_ascii=False)

    def thinking(self, thought: str, turn: str) -> str:
        """A call or a reply of this dialect with a thought before it: for teachers and scripts."""
        return json.dumps({"thought": thought, **json.loads(turn)}, ensure_ascii=False)

    def _stretch(self, span: Span) -> str:
        return f"{span.clip} from {self.seconds.written(span.start)} to {self.seconds.written(span.end)} s"


def _after_thinking(text: str) -> str:
    """What stands after a model's own thoughts."""
    bare = text.strip()
    if bare.startswith(("{", "```")):
        return bare
    _, closed, said = bare.partition("</think>")
    return said.strip() if closed else bare


def _bare(text: str) -> str:
    """The object of a turn as it is spelled: without thoughts before it and a fence around it.

    >>> _bare('<think>so</think> ```json\\n{"action": "answer"}\\n```')
    '{"action": "answer"}'
    """
    bare = _after_thinking(text)
    if len(bare) >= 6 and bare.startswith("```") and bare.endswith("```"):
        title, line_end, inside = bare[3:-3].partition("\n")
        if line_end and title.strip() in ("", "json"):
            return inside.strip()
    return bare


def _answered(said: dict[str, Any]) -> Parsed:
    answer = said.get("final_answer")
    if answer is None and isinstance(said.get("params"), dict):
        answer = said["params"].get("final_answer")
    if isinstance(answer, bool) or answer is None or answer == [] or isinstance(answer, dict):
        return Parsed(problem=f'"final_answer" is {answer!r:.60}; it must be the answer, in words or numbers')
    words = _words(answer).strip()
    if not words:
        return Parsed(problem='"final_answer" is empty; it must be the answer')
    return Parsed(answer=words)


def _words(answer: Any) -> str:
    """An answer as one text: letters that were listed stand side by side, ranges stay in their brackets."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, list) and all(isinstance(one, str) for one in answer):
        return ", ".join(answer)
    return json.dumps(answer, ensure_ascii=False)


def _called(action: str, said: dict[str, Any], spelled: str) -> Parsed:
    """A call; where there is no "params", everything else that stands in the object are its arguments."""
    arguments = said.get("params", {k: v for k, v in said.items() if k not in ("action", "thought")})
    if not isinstance(arguments, dict):
        return Parsed(problem=f'"params" of {action} is no object: want {WANTED}')
    return Parsed(calls=(ToolCall(name=action, arguments=arguments, text=spelled),))
