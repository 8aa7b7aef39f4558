"""Questions about a script whose answers, and the seconds that prove them, are known.

The families (`families.py`, `searches.py`) list what could be asked of a clip; `ask` draws some of it and
puts each sketch as a multiple choice or as an open question. Nothing but `Task.answer` and `Task.extra` tells
the answer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from eva_lightning.data.synthesis.families import OPTIONS, SIGHT, SUBJECTS, Sketch
from eva_lightning.data.synthesis.script import Script
from eva_lightning.data.synthesis.searches import ALL_FAMILIES
from eva_lightning.records import Answer, Clip, Task, letters
from eva_lightning.scoring import canonical


def ask(
    script: Script,
    seed: int,
    families: Sequence[str] | None = None,
    per_family: int = 1,
    *,
    open_share: float = 0.5,
    subjects: Sequence[Sequence[str]] = SUBJECTS,
) -> list[Task]:
    """Up to `per_family` tasks of each family (those of SIGHT unless named).

    There are fewer where a clip has no more to ask.

    Gold letters take turns inside a family, from a seeded start, so that no letter is worth a guess.
    """
    tasks = []
    for family in SIGHT if families is None else families:
        if family not in ALL_FAMILIES:
            raise ValueError(f"there is no family {family!r}; there are {', '.join(ALL_FAMILIES)}")
        dice = random.Random(f"ask/{seed}/{script.id}/{family}")
        sketches = list(ALL_FAMILIES[family](script, dice, [tuple(traits) for traits in subjects]))
        dice.shuffle(sketches)
        turn = dice.randrange(OPTIONS * (OPTIONS - 1))
        for number, sketch in enumerate(sketches[:per_family]):
            task_id = f"{script.id}-{family}-{number}"
            choice = bool(sketch.wrong) and (not sketch.open or dice.random() >= open_share)
            tasks.append(_task(task_id, family, script, sketch, dice, turn + number if choice else None))
    return tasks


def _task(
    task_id: str, family: str, script: Script, sketch: Sketch, dice: random.Random, turn: int | None
) -> Task:
    """A sketch as a task; `turn` picks the gold letter of a multiple choice, None is an open question."""
    task = Task(
        id=task_id,
        source=family,
        clips=(Clip(id=script.id, path=f"clips/{script.id}.mp4"),),
        question=sketch.question,
        answer=sketch.gold,
        extra={"evidence": [[float(start), float(end)] for start, end in sketch.evidence], **sketch.clues},
    )
    if turn is None:
        return task
    options = dice.sample(sketch.wrong, min(OPTIONS - 1, len(sketch.wrong)))
    place = turn % (len(options) + 1)
    options.insert(place, canonical(sketch.gold))
    answer = Answer(kind="choice", value=letters(len(options))[place])
    return replace(task, options=tuple(options), answer=answer)
