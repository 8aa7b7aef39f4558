"""Vetting: whether a task needs its evidence, and no more, in a teacher's opinion; two short calls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.data.mining.author import Rejected, Written
from eva_lightning.data.mining.teacher import Teacher
from eva_lightning.faults import EngineFault, VideoError
from eva_lightning.records import Part, Task
from eva_lightning.scoring import Verdict, score

SHORT = 128
"""Tokens of an answer."""


def vet(tasks: Sequence[Task], teacher: Teacher, dialect: Dialect, frames: int) -> Written:
    """Keep what the teacher answers rightly from `frames` frames of the evidence, and wrongly without any.

    A lucky guess without frames costs a good task now and then; the other way round would cost the policy a
    bad lesson.
    """
    doubts = teacher.all([partial(_doubt, task, teacher, dialect, frames) for task in tasks])
    return Written(
        tasks=tuple(task for task, doubt in zip(tasks, doubts, strict=True) if doubt is None),
        rejected=tuple(doubt for doubt in doubts if doubt is not None),
    )


async def _doubt(task: Task, teacher: Teacher, dialect: Dialect, frames: int) -> Rejected | None:
    try:
        seen = await _answered(task, teacher, dialect, frames)
        if not seen.correct:
            return Rejected(cause="not in the frames", reason=seen.reason, task=task)
        blind = await _answered(task, teacher, dialect, 0)
        if blind.correct:
            return Rejected(cause="needs no frames", reason=blind.reason, task=task)
    except VideoError as problem:
        return Rejected(cause="broken clip", reason=str(problem), task=task)
    except EngineFault as problem:
        return Rejected(cause="no reply", reason=str(problem), task=task)
    return None


async def _answered(task: Task, teacher: Teacher, dialect: Dialect, frames: int) -> Verdict:
    """How the teacher does with so many frames of the evidence, its answer spelled as the agent's."""
    clip = task.clips[0]
    parts: list[Part] = []
    if frames and task.evidence:
        parts = await teacher.frames(clip, [one for one in task.evidence if one.clip == clip.id], frames)
    how = "Answer from these frames alone" if parts else "You can not see the video; make your best guess"
    form = dialect.reply("the letter of the right option" if task.options else "a few words")
    said = await teacher.ask([*parts, f"\n{task.text}\n{how}: {form}"], clip, max_tokens=SHORT)
    parsed = dialect.parse(said.text)
    return score(task, parsed.answer or said.text)
