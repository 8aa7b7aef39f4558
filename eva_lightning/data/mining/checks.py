"""Checks: why a written task is not to be trained on, told without a model. Pure functions.

A task that gives its answer away, or was asked already, or shows its right option, teaches the wrong thing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from eva_lightning.data.mining.author import Rejected, RejectionCause, Written
from eva_lightning.faults import VideoError
from eva_lightning.records import NUMBERS, TEXTS, Answer, Clip, Task

SLACK = 0.5
"""Seconds that evidence may reach beyond the end of its clip: data sets round."""

Doubt = tuple[RejectionCause, str]


def checked(tasks: Sequence[Task], pool: Iterable[Task], duration: Callable[[Clip], float]) -> Written:
    """The tasks that can be trained on beside those of the pool, and the others with the reason why not.

    Args:
        tasks: What was written.
        pool: What there is already.
        duration: Seconds of a clip; VideoError if it can not be read.
    """
    ids: set[str] = set()
    asked: set[str] = set()
    for task in pool:
        ids.add(task.id)
        asked.add(fingerprint(task))
    kept: list[Task] = []
    rejected: list[Rejected] = []
    for task in tasks:
        doubt = _doubt(task, duration)
        if doubt is None and fingerprint(task) in asked:
            doubt = "duplicate", "the same question about the same clip is there already"
        if doubt is None and task.id in ids:
            doubt = "duplicate", f"there is a task {task.id!r} already"
        if doubt is None:
            ids.add(task.id)
            asked.add(fingerprint(task))
            kept.append(task)
        else:
            rejected.append(Rejected(cause=doubt[0], reason=doubt[1], task=task))
    return Written(tasks=tuple(kept), rejected=tuple(rejected))


def fingerprint(task: Task) -> str:
    """The same for two tasks that ask the same of the same clips.

    The case, the signs and the options make no difference.
    """
    places = [f"{_file(clip)}@{clip.begin or 0.0:g}-{clip.end}" for clip in task.clips]
    return "\n".join([plain(task.question), *places])


def plain(text: str) -> str:
    """Lower-case words with single spaces.

    >>> plain("  What's BLUE, at 0:30? ")
    'what s blue at 0 30'
    """
    return " ".join(re.findall(r"\w+", text.casefold()))


def balanced(tasks: Sequence[Task], seed: int) -> list[Task]:
    """The same tasks with their options shuffled.

    Every letter is right equally often, as far as whole tasks allow.
    """
    dice = random.Random(f"balanced/{seed}")
    turns: dict[int, list[int]] = {}
    made = []
    for task in tasks:
        if task.wording or task.answer is None or task.answer.kind != "choice" or not task.options:
            made.append(task)
            continue
        left = turns.setdefault(len(task.options), [])
        if not left:
            left += dice.sample(range(len(task.options)), len(task.options))
        place = left.pop()
        right = task.options[task.letters.index(str(task.answer.value))]
        options = [one for one in task.options if one != right]
        dice.shuffle(options)
        options.insert(place, right)
        answer = Answer(kind="choice", value=task.letters[place])
        made.append(replace(task, options=tuple(options), answer=answer))
    return made


def _doubt(task: Task, duration: Callable[[Clip], float]) -> Doubt | None:
    """The first thing that is wrong with a task by itself."""
    if task.answer is None:
        return "not a task", "it has no answer"
    return _bad_options(task) or _leak(task) or _off_clip(task, duration)


def _bad_options(task: Task) -> Doubt | None:
    answer = task.answer
    assert answer is not None
    if answer.kind not in ("choice", "multi", "order"):
        return ("bad options", f"an answer of kind {answer.kind} with options") if task.options else None
    texts = [plain(option) or option.strip() for option in task.options]
    if len(texts) < 2:
        return "bad options", f"{len(texts)} options; want 2 or more"
    if len(set(texts)) < len(texts) or not all(texts):
        return "bad options", "two options are equal, or one is empty"
    if answer.kind == "choice":
        words = {letter: len(text.split()) for letter, text in zip(task.letters, texts, strict=True)}
        right = words.pop(str(answer.value))
        if right > 2 * max(words.values()) + 2:
            return "bad options", f"the right option has {right} words, the others {max(words.values())}"
    return None


def _leak(task: Task) -> Doubt | None:
    """The question says the answer; naming all options is fair."""
    answer = task.answer
    assert answer is not None
    if answer.kind == "choice":
        said = {
            letter: _says(task.question, option)
            for letter, option in zip(task.letters, task.options, strict=True)
        }
        right = str(answer.value)
        if said[right] and not all(said.values()):
            return "leaked", f"the question says {task.options[task.letters.index(right)]!r}"
    elif answer.kind in TEXTS and _says(task.question, str(answer.value)):
        return "leaked", f"the question says {answer.value!r}"
    elif answer.kind in NUMBERS and _names(task.question, [float(cast(float, answer.value))]):
        return "leaked", f"the question says {answer.value:g}"
    seconds = [second for one in answer.intervals for second in one]
    if seconds and _names(task.question, seconds):
        return "leaked", f"the question says {', '.join(f'{second:g}' for second in seconds)}"
    return None


def _names(question: str, values: Sequence[float]) -> bool:
    """Whether a text has each of these numbers in digits."""
    return set(values) <= {float(one) for one in re.findall(r"\d+(?:\.\d+)?", question)}


def _says(question: str, words: str) -> bool:
    """Whether a text holds these words, whole and in a row."""
    wanted = plain(words)
    return bool(wanted) and f" {wanted} " in f" {plain(question)} "


def _off_clip(task: Task, duration: Callable[[Clip], float]) -> Doubt | None:
    try:
        lengths = {clip.id: duration(clip) for clip in task.clips}
    except VideoError as problem:
        return "broken clip", str(problem)
    try:
        spans = task.evidence
    except (TypeError, ValueError):
        return "not a task", f"its evidence is {task.extra.get('evidence')!r}; want [[start, end], ...]"
    for span in spans:
        length = lengths.get(span.clip, 0.0)
        if not 0 <= span.start < span.end <= length + SLACK:
            return "off clip", f"evidence from {span} in a clip of {length:.1f} s"
    return None


def _file(clip: Clip) -> str:
    return str(Path(clip.path).resolve()) if clip.path else clip.id
