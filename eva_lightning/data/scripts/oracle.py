"""An oracle of scripts: looks at all clips, then closely where the evidence is, listens there, and answers.

It knows the gold answer and where it is shown, so its trajectories are demonstrations for a first lesson in
calling tools; what it writes about what it saw is nothing but a plan.
"""

from __future__ import annotations

from collections.abc import Iterable

from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.tools.listen import Listen
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.engines.base import Context
from eva_lightning.records import Span, Task
from eva_lightning.scoring import canonical

OVERVIEW = 6
"""Frames of each clip in the first look."""


class ScriptOracle:
    """Writes the turns of known tasks."""

    def __init__(self, tasks: Iterable[Task], dialect: ReActDialect) -> None:
        self.tasks, self.dialect = {task.id: task for task in tasks}, dialect

    def __call__(self, context: Context) -> str:
        """The next turn: an overview, a close look, what is said there, the answer."""
        task = self.tasks[context.task_id]
        assert task.answer is not None
        said = sum(message.role == "assistant" for message in context.messages)
        places = _places(task)
        if said == 0:
            targets: list[dict[str, object]] = [{"clip": clip.id, "frames": OVERVIEW} for clip in task.clips]
            turn = self.dialect.call(Observe.name, targets=targets, focus=task.question)
            return self.dialect.thinking("First an overview of all videos.", turn)
        if said == 1:
            targets = [
                {"clip": one.clip, "start": one.start, "end": one.end, "frames": _frames(one)}
                for one in places
            ]
            turn = self.dialect.call(Observe.name, targets=targets, focus=task.question)
            return self.dialect.thinking("Now closely where it matters.", turn)
        if said == 2:
            first = places[0]
            turn = self.dialect.call(Listen.name, clip=first.clip, start=first.start, end=first.end)
            return self.dialect.thinking("What is said there?", turn)
        return self.dialect.thinking("That settles it.", self.dialect.reply(_spelled(task)))


def _places(task: Task) -> list[Span]:
    """Of each clip with evidence, from its first to its last second."""
    held: dict[str, list[Span]] = {}
    for span in task.evidence:
        held.setdefault(span.clip, []).append(span)
    return [
        Span(clip=clip, start=min(one.start for one in spans), end=max(one.end for one in spans))
        for clip, spans in held.items()
    ]


def _frames(span: Span) -> int:
    """A frame for every two seconds, 2 to 16 of them."""
    return max(2, min(16, int(span.end - span.start) // 2))


def _spelled(task: Task) -> str:
    """The gold answer as the question asks for it."""
    assert task.answer is not None
    if task.answer.kind == "order" and isinstance(task.answer.value, tuple):
        return "->".join(map(str, task.answer.value))
    return canonical(task.answer)
