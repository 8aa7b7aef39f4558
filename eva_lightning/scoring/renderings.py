"""Renderings: the ways to write a gold answer, the plain one first; each of them scores 1."""

from __future__ import annotations

from dataclasses import replace

from eva_lightning.records import NUMBERS, Answer, Interval, Task
from eva_lightning.scoring.numbers import WORDS
from eva_lightning.scoring.options import are_numbered, sequence
from eva_lightning.timecode import clock


def canonical(answer: Answer) -> str:
    """The plain way to write a gold answer.

    >>> canonical(Answer(kind="interval", value=(12.0, 20.0)))
    '12.0 to 20.0'
    >>> canonical(Answer(kind="order", value=("B", "A")))
    'B, A'
    >>> canonical(Answer(kind="choice", value="B", grounds=((1.0, 2.5), (4.0, 6.0))))
    'From 1.0 to 2.5 and 4.0 to 6.0, B'
    """
    value = answer.value
    if answer.grounds:
        return f"From {_ranges(answer)}, {canonical(replace(answer, grounds=()))}"
    if answer.kind == "interval":
        return _ranges(answer)
    if isinstance(value, tuple):
        return ", ".join(str(letter) for letter in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _ranges(answer: Answer) -> str:
    return " and ".join(f"{start} to {end}" for start, end in answer.intervals)


def renderings(task: Task) -> list[str]:
    """Ways in which an agent may write the gold answer; all of them score 1."""
    answer = task.answer
    if answer is None:
        raise ValueError(f"task {task.id!r} has no gold answer to render")
    if answer.grounds:
        return _grounded(task, answer)
    plain = canonical(answer)
    ways = [plain, f" {plain}\n", f"{plain.rstrip('.')}."]
    if answer.kind == "choice":
        ways += _choices(task, plain)
    elif answer.kind == "multi":
        ways += [plain.lower(), f"({plain})", *(sign.join(sequence(answer)) for sign in ("", " ", " and "))]
    elif answer.kind == "order":
        ways += _orders(task, answer, plain)
    elif answer.kind == "interval":
        ways += _times(answer.intervals)
    elif answer.kind in NUMBERS:
        number = float(answer.value)  # type: ignore[arg-type]
        ways += [str(number), f"{plain} times"] + ([WORDS[int(number)]] if number in range(13) else [])
    return ways


def _grounded(task: Task, answer: Answer) -> list[str]:
    """The times first, and then the answer in any of its ways; a letter may stand before its times."""
    bare = replace(task, answer=replace(answer, grounds=()))
    ways = [f"From {_ranges(answer)}, {way}" for way in renderings(bare)]
    plain = canonical(bare.answer) if bare.answer else ""
    ways += [f"{_ranges(answer)}: {plain}", f"from {_ranges(answer)} seconds, {plain}"]
    if answer.kind == "choice":
        ways += [f"{plain} ({_ranges(answer)})", f"{plain}, from {_ranges(answer)} s"]
        ways += [f"{[list(one) for one in answer.intervals]} {plain}"]
    return ways


def _choices(task: Task, letter: str) -> list[str]:
    ways = [letter.lower(), f"({letter})", f"**{letter}**", f"Option {letter}", f"The answer is {letter}."]
    if not task.options:
        return ways
    words = task.options[task.letters.index(letter)]
    return [*ways, words, f"{letter}. {words}", f"({letter}) {words}", f"{letter}: {words}"]


def _orders(task: Task, answer: Answer, plain: str) -> list[str]:
    named = sequence(answer)
    ways = [plain.lower(), f"({plain})", *(sign.join(named) for sign in (" ", " > ", " -> ", "->"))]
    ways += ["".join(named)] if all(len(one) == 1 for one in named) else []
    if are_numbered(task) and not plain.replace(", ", "").isdecimal():
        ways.append("->".join(str(task.letters.index(one) + 1) for one in named))
    return ways


def _times(ranges: tuple[Interval, ...]) -> list[str]:
    """Ranges in brackets, with dashes, with units; as clocks where all of them are whole seconds."""
    forms = ["[{0}, {1}]", "{0}-{1}", "{0} - {1} s", "from {0}s to {1} seconds"]
    ways = [", ".join(form.format(*one) for one in ranges) for form in forms]
    ways.append(str([list(one) for one in ranges]))
    if all(second.is_integer() for one in ranges for second in one):
        clocks = [(clock(start), clock(end)) for start, end in ranges]
        ways += [" and ".join(form.format(*one) for one in clocks) for form in ("{0} to {1}", "{0}-{1}")]
    return ways
