"""Questions about one of two embedded clips, and a teacher who asks about them in words.

Who looks at the clip and the second that are named is told the answer; the other clip shows something else
then. The clips are there as videos and as words (`in_words.py`); their files are named as their scripts are,
and so one file of tasks serves both.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.rollout import derive_seed
from eva_lightning.data.synthesis.script import SHAPES, Script
from eva_lightning.engines.base import Context
from eva_lightning.records import Answer, Clip, Task

NAMES = ("a", "b")
"""Ids of the clips of a task."""
MISTAKES = ("elsewhere", "other", "dense", "blind")
"""Another second, the other clip, more moments than needed, no look at all."""

_SHAPE = re.compile("|".join(SHAPES))


def two_clips(scripts: Sequence[Script], count: int, seed: int = 0) -> list[Task]:
    """So many questions about pairs of these clips, in turn about the first and the second."""
    dice = random.Random(f"two clips/{seed}")
    made: list[Task] = []
    while len(made) < count:
        meant, other = dice.sample(list(scripts), 2)
        second = dice.choice([second for event in meant.events for second in event.moments])
        if second >= other.told or meant.at(second).see.shape == other.at(second).see.shape:
            continue
        place = len(made) % 2
        pair = (meant, other) if place == 0 else (other, meant)
        made.append(_task(f"two/{seed}/{len(made)}", pair, place, second))
    return made


def _task(name: str, pair: Sequence[Script], place: int, second: int) -> Task:
    clips = tuple(
        Clip(id=clip, path=f"clips/{script.id}.mp4") for clip, script in zip(NAMES, pair, strict=True)
    )
    return Task(
        id=name,
        source="two_clips",
        clips=clips,
        question=f"What shape does video {NAMES[place]} show at second {second}?",
        answer=Answer(kind="text", value=pair[place].at(second).see.shape),
        extra={"evidence": [[NAMES[place], second, second]]},
    )


class WordTeacher:
    """Looks at the clip and second that are asked about, and answers what it is told.

    Now and then it is sloppy, in one of the ways of MISTAKES.
    """

    def __init__(self, tasks: Iterable[Task], dialect: Dialect, seed: int = 0, sloppy: float = 0.0) -> None:
        """
        Args:
            tasks: What it may be asked.
            dialect: How it spells.
            seed: Dice of its mistakes.
            sloppy: Share of the tasks in which it makes one.
        """
        self.tasks = {task.id: task for task in tasks}
        self.dialect, self.seed, self.sloppy = dialect, seed, sloppy

    def __call__(self, context: Context) -> str:
        task = self.tasks[context.task_id]
        dice = random.Random(derive_seed("word teacher", self.seed, context.place, task.id))
        way = dice.choice(MISTAKES) if dice.random() < self.sloppy else "well"
        told = [message.text for message in context.messages if message.role == "tool"]
        if told:
            return self._answer(told[-1], dice)
        if way == "blind":
            return self._think("I guess.", self.dialect.reply(dice.choice(SHAPES)))
        (evidence,) = task.evidence
        clip, at = evidence.clip, int(evidence.start)
        if way == "other":
            clip = NAMES[1 - NAMES.index(clip)]
        if way == "elsewhere":
            at = max(0, at + dice.choice((-20, -10, 10, 20)))
        start, end, frames = (max(at - 1, 0), at + 1, 4) if way == "dense" else (at, at, 1)
        target = {"clip": clip, "start": start, "end": end, "frames": frames}
        call = self.dialect.call("observe", targets=[target], focus="shape")
        return self._think(f"I look at {clip} at {at}.", call)

    def _answer(self, told: str, dice: random.Random) -> str:
        """The first shape that was named; a guess where none was."""
        named = _SHAPE.search(told)
        shape = named[0] if named else dice.choice(SHAPES)
        return self._think(f"It is a {shape}." if named else "I can not tell.", self.dialect.reply(shape))

    def _think(self, thought: str, turn: str) -> str:
        return self.dialect.thinking(thought, turn) if isinstance(self.dialect, ReActDialect) else turn
