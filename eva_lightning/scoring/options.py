"""Options: which of them an answer names, by letter, by number or by words; one, a set, or an order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from eva_lightning.records import Answer, Task
from eva_lightning.scoring.verdict import Verdict


def choice(task: Task, gold: Answer, said: str) -> Verdict:
    letter = chosen(task, said)
    right = letter == gold.value
    return Verdict(value=float(right), reason=f"chose {letter or repr(said[:40])}, gold {gold.value}")


def chosen(task: Task, said: str) -> str | None:
    """The option that was chosen: by its letter, or else by its text."""
    bare = said.strip(" \t\n*\"'`")
    texts = [option.strip().lower() for option in task.options]
    if bare.rstrip(".").lower() in texts:
        return task.letters[texts.index(bare.rstrip(".").lower())]
    if bare.lower() in texts:
        return task.letters[texts.index(bare.lower())]
    for pattern in _LETTER_PATTERNS:
        found = pattern.match(bare)
        if found and (not task.options or found.group(1).upper() in task.letters):
            return found.group(1).upper()
    return None


_LETTER_PATTERNS = (
    re.compile(r"[(\[]?([A-Za-z])(?:[)\].:,*]|\s*$|\s*[-\n])"),  # "B", "(b)", "B. words"
    re.compile(r"([B-HJ-Z])\b"),  # "B words", but not "A man" or "I think"
    # Possessive, and nothing optional between two runs of space: a long run is walked once.
    re.compile(r".*(?i:\boption|\bchoice|\banswer(?:\s++is)?)\s*+(?::\s*+)?[(*]*+([A-Za-z])\b", re.DOTALL),
)


def several(task: Task, gold: Answer, said: str) -> Verdict:
    letters = _named(task, gold, said)
    right = sorted(letters) == sorted(sequence(gold))
    return Verdict(value=float(right), reason=f"chose {_told(letters)}, gold {', '.join(sequence(gold))}")


def order(task: Task, gold: Answer, said: str) -> Verdict:
    letters = _named(task, gold, said)
    right = letters == sequence(gold)
    return Verdict(value=float(right), reason=f"order {_told(letters)}, gold {', '.join(sequence(gold))}")


def sequence(answer: Answer) -> tuple[str, ...]:
    """The letters of a set or an order."""
    return cast("tuple[str, ...]", answer.value)


def _told(letters: Sequence[str]) -> str:
    """Letters or numbers in a line, however many an agent wrote, and however long."""
    told = ", ".join(letters[:26])
    return told if len(letters) <= 26 and len(told) <= 100 else f"{told:.100}... ({len(letters)} of them)"


def _named(task: Task, gold: Answer, said: str) -> tuple[str, ...]:
    """The options that are named, in the order written: by letter, or by number where they are numbered."""
    numbers = re.findall(r"\d+", said)
    if len(numbers) == 1 and (len(task.options) or len(sequence(gold))) < 10:
        numbers = list(numbers[0])  # "213": no option has such a number
    if numbers and all(value.isdecimal() for value in sequence(gold)):
        return tuple(numbers)
    letters = {str(place): letter for place, letter in enumerate(task.letters, start=1)}
    if numbers and all(number in letters for number in numbers) and are_numbered(task):
        return tuple(letters[number] for number in numbers)
    return _letters(said)


def are_numbered(task: Task) -> bool:
    """Whether the agent reads a number before each option: "1. a cat", "(2) a dog", "A. 1) a bird"."""
    places = range(1, len(task.options) + 1)
    return bool(places) and all(
        re.search(rf"^[^\S\n]*(?:[A-Z][.:)] ?)?[(\[]?{place}[.:)\]]", task.text, re.MULTILINE)
        for place in places
    )


def _letters(said: str) -> tuple[str, ...]:
    """Single letters in the order written: "A, C", "a and c", "(A) > (C)" or "AC"."""
    compact = re.fullmatch(r"[A-Z]+", said.strip(" ()[].\n"))
    if compact:
        return tuple(compact.group(0))
    return tuple(letter.upper() for letter in re.findall(r"(?<![A-Za-z])([A-Za-z])(?![A-Za-z])", said))
