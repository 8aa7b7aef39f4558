"""Predictions: our answers in the files that others' scorers read, by forms that a config gives.

A form is JSON with names in braces. A text that is one name alone becomes what the name stands for, a number
or a list as it is; a text around names stays text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from eva_lightning.faults import UsageError
from eva_lightning.files.atomic import appearing
from eva_lightning.records import Trajectory
from eva_lightning.scoring.intervals import apart, intervals_in
from eva_lightning.scoring.numbers import number_in
from eva_lightning.scoring.options import chosen

NAMES = """
index id question answer said letter place number intervals interval gold
"""
"""What a form may name beside the columns that the shape keeps:
index (the row's own), id (the task's), question, answer (as it was written), said (the same without times),
letter (of the option that was chosen) and place (its place from 0), number, intervals (all that were named),
interval (the first of them), gold (letter, text or number). What was not said is null, for intervals [], for
interval [-1, -1], which is no time of any video."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """A file of predictions."""

    row: Any
    """What it holds of a question, as JSON with names in braces: {"qid": "{index}", "answer": "{letter}"}."""
    key: str | None = None
    """The key of a question, where the file is an object: "{video}_{qid}"; None: a list, or JSONL."""


def write_predictions(path: Path, form: Predictions, answered: Iterable[Trajectory]) -> int:
    """The first attempt at each question that no fault ended; how many they are. Its suffix says how."""
    sound = (one for one in answered if one.stop != "fault" and one.replica == 0)
    lines = path.suffix == ".jsonl"
    if form.key is not None and lines:
        raise UsageError(
            f"predictions {path.name}: a key makes an object, and lines have none; name it .json"
        )
    made = [(_filled(form.key, held, path), _filled(form.row, held, path)) for held in map(_held, sound)]
    with appearing(path) as part:
        if lines:
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for _, row in made)
        else:
            whole = [row for _, row in made] if form.key is None else dict(made)
            text = json.dumps(whole, ensure_ascii=False, indent=1) + "\n"
        part.write_text(text, encoding="utf-8")
    return len(made)


def _held(one: Trajectory) -> dict[str, Any]:
    """What a form may name of an answer."""
    task, written = one.task, one.answer or ""
    ranges, rest = apart(written)
    if task.answer is not None and task.answer.kind == "interval":
        ranges, rest = list(_ranges(written)), ""
    letter = chosen(task, rest) if task.options and rest else None
    number = number_in(rest)
    gold = None if task.answer is None else task.answer.value
    return {
        **task.extra,
        "id": task.id,
        "question": task.question,
        "answer": written,
        "said": rest if task.answer is not None and task.answer.grounds else written,
        "letter": letter,
        "place": None if letter is None else task.letters.index(letter),
        "number": number if number is not None and isfinite(number) else None,
        "intervals": [list(pair) for pair in ranges],
        "interval": list(ranges[0]) if ranges else [-1.0, -1.0],
        "gold": gold,
    }


def _ranges(written: str) -> Iterator[tuple[float, float]]:
    try:
        yield from intervals_in(written)
    except ValueError:  # it names none, and that is a prediction, too
        return


def _filled(form: Any, held: Mapping[str, Any], path: Path) -> Any:
    """A form with everything that it names."""
    if isinstance(form, Mapping):
        return {key: _filled(value, held, path) for key, value in form.items()}
    if isinstance(form, list):
        return [_filled(value, held, path) for value in form]
    if not isinstance(form, str):
        return form
    for name in re.findall(r"\{(\w+)\}", form):
        if name not in held:
            raise UsageError(
                f"predictions {path.name}: {{{name}}} is none of {', '.join(NAMES.split())} and no column of "
                f"shape.keep ({', '.join(key for key in held if key not in NAMES.split()) or 'none is kept'})"
            )
    alone = re.fullmatch(r"\{(\w+)\}", form)
    return held[alone[1]] if alone else re.sub(r"\{(\w+)\}", lambda found: str(held[found[1]]), form)
