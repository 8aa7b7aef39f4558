"""Decides what a teacher is told beside its conversation: the format, and for each trajectory one hint.

Which kind of hint a trajectory gets is drawn with its own seed, so a resumed run draws the same. What the
bank of experiences has to offer depends on what was finished before, and with a server that is never twice
the same: a resumed run makes the same trajectories, not the same words.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.rollout import Job, Limits
from eva_lightning.agent.tools.base import Tool
from eva_lightning.data.teaching.bank import ExperienceBank
from eva_lightning.data.teaching.hints import REFLECTIONS, WORKFLOWS, HintKind, manual, told, told_experience
from eva_lightning.records import Message, Trajectory

NEAREST = 3
"""Out of so many similar questions one is drawn, so that attempts at a task do not all copy one success."""


class Coach:
    """Briefs the teacher of each trajectory of a rollout."""

    def __init__(
        self,
        jobs: Sequence[Job],
        dialect: Dialect,
        tools: Sequence[Tool],
        limits: Limits,
        *,
        kinds: Sequence[HintKind],
        bank: ExperienceBank,
    ) -> None:
        """
        Args:
            jobs: The trajectories, in the order in which the rollout gets them.
            dialect: Spells the calls in the manual.
            tools: What the teacher can do.
            limits: How many messages it may write.
            kinds: The kinds of hints to draw from; none gives the format alone.
            bank: Where experiences come from.
        """
        self.jobs, self.dialect, self.tools, self.limits = list(jobs), dialect, tools, limits
        self.kinds, self.bank = tuple(kinds), bank
        self._briefings: dict[tuple[str, int], tuple[HintKind, str]] = {}

    def opening(self, place: int, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The opening of the trajectory at `place` as its teacher reads it: the briefing is added to the
        system message, or comes as one. The same in all of its turns."""
        briefing = self._briefed(self.jobs[place])[1]
        if messages and messages[0].role == "system":
            system = Message(role="system", parts=(*messages[0].parts, f"\n\n{briefing}"))
            return system, *messages[1:]
        return Message(role="system", parts=(briefing,)), *messages

    def hint(self, one: Trajectory) -> str:
        """How the teacher of a trajectory of this rollout was briefed; empty if it was never asked."""
        kind, _ = self._briefings.get((one.task.id, one.replica), ("", ""))
        return kind

    def forget(self, one: Trajectory) -> None:
        """Let go of the briefing of a trajectory that is finished."""
        self._briefings.pop((one.task.id, one.replica), None)

    def _briefed(self, job: Job) -> tuple[HintKind, str]:
        key = (job.task.id, job.replica)
        if key not in self._briefings:
            clips = tuple(clip.id for clip in job.task.clips)
            format = manual(self.dialect, self.tools, turns=self.limits.turns, clips=clips)
            kind, hint = self._hint(job)
            self._briefings[key] = kind, f"{format}\n\n{hint}" if hint else format
        return self._briefings[key]

    def _hint(self, job: Job) -> tuple[HintKind, str]:
        """Where an experience is due and the bank has none that fits, a workflow stands in for it."""
        dice = random.Random(f"hint/{job.seed}")
        kind = dice.choice(self.kinds) if self.kinds else "format"
        if kind == "experience":
            found = self.bank.nearest(job.task, NEAREST)
            if found:
                return kind, told_experience(dice.choice(found).story)
            kind = "workflow"
        if kind == "format":
            return kind, ""
        return kind, told(dice.choice(WORKFLOWS if kind == "workflow" else REFLECTIONS))
