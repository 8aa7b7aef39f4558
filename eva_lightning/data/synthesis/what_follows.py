"""What follows: what comes right after a scene, asked beside when it is shown, and a teacher of both.

Both ask about the same scenes and begin with the same thought, so a policy may learn from one kind what helps
it with the other.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from eva_lightning.data.synthesis.grounding import SloppyGrounder
from eva_lightning.data.synthesis.script import BACKGROUNDS, Script
from eva_lightning.data.synthesis.searches import after_question
from eva_lightning.engines.base import Context
from eva_lightning.records import Answer, Task

Kind = Literal["grounding", "answers"]
"""When is it shown? | What comes right after it?"""


def asked(task: Task, script: Script, kind: Kind) -> Task:
    """A `when` question about a background, put in one of both ways."""
    task = replace(task, id=f"{task.id}/{kind}", source=kind)
    if kind == "grounding":
        return task
    (span,) = task.evidence
    after = script.at(int(span.end))
    spans = [[span.start, span.end], [float(after.start), float(after.end)]]
    return replace(
        task,
        question=after_question(task.extra["look_for"][0]["background"]),
        answer=Answer(kind="text", value=after.see.background),
        options=(),
        extra={**task.extra, "evidence": spans},
    )


class Teller(SloppyGrounder):
    """Tells what comes right after, too: the background that its newest "to" marks.

    Who looked elsewhere tells the last one that it saw, and is as sure.
    """

    def __call__(self, context: Context) -> str:
        turn = super().__call__(context)
        task, _, _ = self.place(context)
        thought, answers, _ = turn.partition("<answer>")
        if task.source != "answers" or not answers:
            return turn
        said = [message.text for message in context.messages if message.role == "assistant"]
        over = re.findall(r"(\w+) to\b", " ".join(one.partition(":")[0] for one in (*said, thought)))
        shown = [word for word in thought.partition(":")[0].split() if word in BACKGROUNDS]
        return thought + self.dialect.reply(shown[-1] if "nowhere" in thought or not over else over[-1])
