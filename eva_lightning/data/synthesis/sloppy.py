"""The sloppy teacher: the oracle, with the mistakes that EVA's authors name in bad trajectories.

For each attempt a seeded die decides whether a mistake is made and which. After it, the teacher answers
honestly what the frames shown would tell, so that bad looking usually, but not always, ends in a wrong
answer: a reward on answers alone would not tell luck from work.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.data.synthesis.reading import NOTHING, Insight, find, sights
from eva_lightning.data.synthesis.script import (
    BACKGROUNDS,
    CUE_NAMES,
    INKS,
    MARKS,
    SHAPES,
    Scene,
    Script,
)
from eva_lightning.data.synthesis.teachers import (
    Oracle,
    PlannedLook,
    frame_tokens,
    heard,
    planned,
    resize_for,
    spelled,
)
from eva_lightning.engines.base import Context
from eva_lightning.records import Task

Mistake = Literal["guess", "thin", "flood", "elsewhere", "blurred", "garbled"]
"""Answers without a look | too few frames for a long window | too many for the job | the wrong window |
frames too small to read | a malformed call, then recovery."""

MISTAKES: tuple[Mistake, ...] = get_args(Mistake)


class SloppyTeacher(Oracle):
    """Makes a mistake in `rate` of its attempts, and is the oracle in the others."""

    def __init__(
        self,
        scripts: Iterable[Script],
        tasks: Iterable[Task],
        dialect: Dialect,
        seed: int,
        *,
        rate: float = 0.7,
        mistakes: Sequence[Mistake] = MISTAKES,
        flood: int = 4,
        **settings: Any,
    ) -> None:
        """`flood` is how many times too many frames are asked for; `settings` are the oracle's."""
        super().__init__(scripts, tasks, dialect, **settings)
        if not 0 <= rate <= 1:
            raise ValueError(f"a rate of {rate}: want a share between 0 and 1")
        self.seed, self.rate, self.mistakes, self.flood = seed, rate, tuple(mistakes), flood

    def __call__(self, context: Context) -> str:
        task, script, said = self.place(context)
        mistake = self.mistake(context)
        if mistake is None or (mistake == "flood" and said) or (mistake == "garbled" and said > 1):
            return super().__call__(context)
        if mistake == "garbled":
            right = super().__call__(context)
            return f"Reflection: my call was malformed. {right}" if said else garble(right)
        dice = self._dice(context)
        if mistake == "guess":
            return self.guess(task, NOTHING, dice)
        if task.extra.get("listen"):
            return self._listen_elsewhere(task, script, said, dice)
        if said == 0:
            look = self._wrong_look(mistake, task, script, dice)
            return f"Plan: {planned(look)}.\n{self.call(look)}"
        found = find(task, script, sights(context.frames, task, script), self.shortest)
        return self.guess(task, found, dice)

    def mistake(self, context: Context) -> Mistake | None:
        """The mistake of this attempt, the same in all of its turns; None is none."""
        dice = self._dice(context)
        if dice.random() >= self.rate:
            return None
        extra = self.tasks[context.task_id].extra
        possible = set(self.mistakes)
        if extra.get("listen"):
            possible &= {"guess", "elsewhere", "garbled"}
        elif set(extra["read"]) <= {"background"}:
            possible -= {"blurred"}  # a background can be read at any size
        order = [mistake for mistake in self.mistakes if mistake in possible]
        return dice.choice(order) if order else None

    def guess(self, task: Task, found: Insight, dice: random.Random) -> str:
        """The last turn after bad work: what the frames say, or else any plausible answer.

        It sounds as sure as the oracle, or else a learner would tell good from bad by a phrase and not by the
        work.
        """
        words = spelled(task, found.value) or (
            dice.choice(task.letters) if task.options else _any_answer(task, self._script(task), dice)
        )
        return self.last_turn(found, words, "that proves it")

    def _dice(self, context: Context) -> random.Random:
        return random.Random(f"sloppy/{self.seed}/{context.task_id}/{context.place}")

    def _script(self, task: Task) -> Script:
        return self.scripts[task.clips[0].id]

    def _wrong_look(self, mistake: Mistake, task: Task, script: Script, dice: random.Random) -> PlannedLook:
        right = self.next_look(task, script, [])
        assert right is not None  # nothing is proven before the first look
        if mistake == "flood":
            most = max(1, self.call_budget // frame_tokens(script, right.resize))
            end = script.told if right.start == right.end else right.end  # a moment holds one frame
            return replace(right, end=end, nframes=min(right.nframes * self.flood + self.flood, most))
        if mistake == "thin":
            return PlannedLook(start=0, end=script.told, nframes=dice.randint(2, 3), resize=right.resize)
        if mistake == "blurred":
            return replace(right, resize=min(resize_for(task, script) / 4, 0.125))
        start = elsewhere(task, script, dice)
        width = 0 if right.start == right.end else 2
        return replace(right, start=start, end=start + width, nframes=min(right.nframes, 3))

    def _listen_elsewhere(self, task: Task, script: Script, said: int, dice: random.Random) -> str:
        start = elsewhere(task, script, dice)
        if said == 0:
            call = self.dialect.call("listen", start_time=start, end_time=start + 2)
            return f"Plan: listen from {start} to {start + 2}.\n{call}"
        return self.guess(task, heard(task, script, start, start + 2), dice)


def elsewhere(task: Task, script: Script, dice: random.Random) -> int:
    """The begin of a window of two seconds outside the evidence, if there is one."""
    starts = [
        start
        for start in range(script.told - 2)
        if all(start + 2 <= span.start or start >= span.end for span in task.evidence)
    ]
    return dice.choice(starts or [0])


def garble(turn: str) -> str:
    """A turn whose call is no longer well-formed: its last closing brace is lost."""
    head, brace, tail = turn.rpartition("}")
    return head + tail if brace else turn[: -len(turn) // 3]


def _any_answer(task: Task, script: Script, dice: random.Random) -> str:
    """An answer of the right kind that needed no look."""
    if task.source == "describe":
        return Scene(
            background=dice.choice(BACKGROUNDS),
            shape=dice.choice(SHAPES),
            ink=dice.choice(INKS),
            mark=dice.choice(MARKS),
        ).sentence
    if task.source == "when":
        start = dice.randrange(script.duration - 10)
        return f"{start}.0 to {start + 10}.0"
    if task.source == "count":
        return str(dice.randint(1, 4))
    if "listen_for" in task.extra:
        return str(dice.randrange(script.duration))
    values: Sequence[str] = {"colour_at": BACKGROUNDS, "shape_at": SHAPES, "mark_at": MARKS}.get(
        task.source, CUE_NAMES
    )
    return dice.choice(values)
