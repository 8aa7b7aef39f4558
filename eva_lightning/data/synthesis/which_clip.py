"""Questions that take two embedded clips, and a teacher who asks about them in words.

Exactly one of the two shows the shape at the second that is asked about, so that a single look at either is
enough, and a look at any other second is worth nothing. The clips are there as videos and as words
(`in_words.py`); their files are named as their scripts are, and so one file of tasks serves both.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.rollout import derive_seed
from eva_lightning.data.synthesis.script import Script, Shape
from eva_lightning.engines.base import Context
from eva_lightning.records import Answer, Clip, Task

NAMES = ("a", "b")
"""Ids of the clips of a task."""


def which_clip(scripts: Sequence[Script], count: int, seed: int = 0) -> list[Task]:
    """So many questions about pairs of these clips; as often the first is the one as the second."""
    dice = random.Random(f"which clip/{seed}")
    made: list[Task] = []
    while len(made) < count:
        right, wrong = dice.sample(list(scripts), 2)
        second = _second(right, wrong, dice)
        shape = right.at(second).see.shape
        if wrong.at(second).see.shape == shape:
            continue
        pair = (right, wrong) if len(made) % 2 == 0 else (wrong, right)
        made.append(_task(f"which/{seed}/{len(made)}", pair, shape, second))
    return made


def _second(one: Script, other: Script, dice: random.Random) -> int:
    """A second that is far from the borders of what either shows."""
    theirs = {second for event in other.events for second in event.moments}
    return dice.choice([second for event in one.events for second in event.moments if second in theirs])


def _task(name: str, pair: Sequence[Script], shape: Shape, second: int) -> Task:
    shows = [script.at(second).see.shape == shape for script in pair]
    clips = tuple(
        Clip(id=clip, path=f"clips/{script.id}.mp4") for clip, script in zip(NAMES, pair, strict=True)
    )
    return Task(
        id=name,
        source="which_clip",
        clips=clips,
        question=f"Which video shows a {shape} at second {second}?",
        options=NAMES,
        answer=Answer(kind="choice", value="AB"[shows.index(True)]),
        extra={"evidence": [[clip, second, second] for clip in NAMES], "shape": shape, "at": second},
    )


class WordTeacher:
    """Looks at the second that is asked about, in both clips, and answers by what it is told.

    Now and then it is sloppy: it looks elsewhere, at everything, or answers without a look.
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
        way = dice.choice(("elsewhere", "everything", "blind")) if dice.random() < self.sloppy else "well"
        told = [message.text for message in context.messages if message.role == "tool"]
        if told:
            return self._answer(task, told[-1], dice)
        if way == "blind":
            return self._think("I guess.", self.dialect.reply(dice.choice("AB")))
        at, shape = int(task.extra["at"]), str(task.extra["shape"])
        if way == "elsewhere":
            at = max(0, at + dice.choice((-20, -10, 10, 20)))
        start, end, frames = (0, 2 * at, 8) if way == "everything" else (at, at, 1)
        targets = [{"clip": clip, "start": start, "end": end, "frames": frames} for clip in NAMES]
        return self._think(
            f"I look at second {at}.", self.dialect.call("observe", targets=targets, focus=shape)
        )

    def _answer(self, task: Task, told: str, dice: random.Random) -> str:
        """By the lines that name the shape; a guess where that leaves both or neither."""
        shape = str(task.extra["shape"])
        shows = [
            any(line.startswith(f"{clip}, ") and shape in line for line in told.split("\n")) for clip in NAMES
        ]
        if shows[0] == shows[1]:
            return self._think("I can not tell.", self.dialect.reply(dice.choice("AB")))
        place = shows.index(True)
        return self._think(f"{NAMES[place]} shows the {shape}.", self.dialect.reply("AB"[place]))

    def _think(self, thought: str, turn: str) -> str:
        return self.dialect.thinking(thought, turn) if isinstance(self.dialect, ReActDialect) else turn
