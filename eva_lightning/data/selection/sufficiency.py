"""Sufficiency: whether what was looked at is enough for the answer that was given.

By this judgement EVA's authors (2603.22918) reject trajectories that guessed. The judge sees the frames that
were fetched and nothing else of the video, and no gold answer.

It finds good and bad no marks: those are set in `selection/feedback.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from eva_lightning.engines.single_turn import caption, unheard
from eva_lightning.faults import Fault
from eva_lightning.records import Part, Score, Trajectory
from eva_lightning.rewards.judging.judge import Judge
from eva_lightning.rewards.judging.rubric import Case, Rubric

SCORE = "sufficiency"
"""Name of the score that a trajectory gets."""

SUFFICIENCY = Rubric(
    name="sufficiency",
    version=1,
    question=(
        "Somebody saw these frames, and nothing else of the video, and gave this answer. Do the frames "
        "suffice to give it?\n"
        '"sufficient": one can tell from the frames alone that the answer is right.\n'
        '"insufficient": it had to be guessed; what decides it is in none of the frames, or too small or too '
        "blurred to be made out, or happens between them.\n"
        "What the question suggests, and what you know of the world, does not count as seen."
    ),
    values={"sufficient": 1.0, "insufficient": 0.0},
)


def case_of(trajectory: Trajectory) -> Case:
    """The frames that were shown, each once, then the question with its options, and the answer."""
    task = trajectory.task
    several = len(task.clips) > 1
    parts: list[Part] = []
    for number, frame in enumerate(dict.fromkeys(trajectory.frames)):
        parts += [caption(number, frame.time, frame.clip if several else None), frame]
    parts.append(f"\n\nQuestion: {task.text}\n\nAnswer that was given: {trajectory.answer}")
    return Case(parts=tuple(parts), clips=task.clips)


async def weigh(
    trajectories: Sequence[Trajectory], judge: Judge, progress: Callable[[int], None] = unheard
) -> list[Trajectory]:
    """The trajectories with the score "sufficiency", 1 or 0; those without a verdict are marked as faults."""
    rulings = await judge.rule([case_of(one) for one in trajectories], progress)
    weighed = []
    for one, ruling in zip(trajectories, rulings, strict=True):
        if isinstance(ruling, Fault):
            weighed.append(replace(one, stop="fault", faults=[*one.faults, f"judge: {ruling}"]))
        else:
            score = Score(value=judge.rubric.values[ruling.verdict], reason=ruling.told)
            weighed.append(replace(one, scores={**one.scores, SCORE: score}))
    return weighed
