"""The scorer: one way for each kind of answer, and what a grounded answer is worth. Nothing calls a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eva_lightning.records import Answer, AnswerKind, Interval, Task
from eva_lightning.scoring.intervals import apart, intervals_in, overlap
from eva_lightning.scoring.numbers import mra, number, relative, rounded
from eva_lightning.scoring.options import choice, order, several
from eva_lightning.scoring.texts import text, transcript
from eva_lightning.scoring.verdict import Verdict


def score(task: Task, said: str | None) -> Verdict:
    """How well `said` matches the gold answer of `task`."""
    gold = task.answer
    if gold is None:
        raise ValueError(f"task {task.id!r} has no gold answer to score against")
    said = (said or "").strip()
    if gold.grounds:
        return _grounded(task, gold, said)
    if gold.kind == "interval":
        return _interval(gold, said)
    return _plain(task, gold, said)


def _plain(task: Task, gold: Answer, said: str) -> Verdict:
    return _SCORERS[gold.kind](task, gold, said) if said else Verdict(value=0.0, reason="no answer")


def _interval(gold: Answer, said: str) -> Verdict:
    try:
        ranges = intervals_in(said) if said else []
        problem = "no answer"
    except ValueError as wrong:  # one time alone, "00:01:10:05", or hundreds of digits
        ranges, problem = [], f"{wrong!s:.80}"
    found = overlap(ranges, gold.intervals)
    if not found.said and ranges:
        problem = f"{_told(ranges)} is no interval"
    reason = f"{_told(ranges)} against {_told(gold.intervals)}: IoU {found.iou:.2f}"
    return Verdict(value=found.iou, reason=reason if found.said else problem, overlap=found)


def _grounded(task: Task, gold: Answer, said: str) -> Verdict:
    """The mean of the answer's own value and the IoU of the times that stand with it."""
    ranges, rest = apart(said)
    found, answer = overlap(ranges, gold.grounds), _plain(task, gold, rest)
    where = _told(ranges) if ranges else "no time"
    reason = f"{answer.reason}; {where} against {_told(gold.grounds)}: IoU {found.iou:.2f}"
    return Verdict(value=(answer.value + found.iou) / 2, reason=reason, answer=answer.value, overlap=found)


def _told(ranges: Sequence[Interval]) -> str:
    """Ranges in a line, however many there are.

    >>> _told([(1.0, 2.5), (4.0, 6.0)])
    '1 to 2.5 and 4 to 6'
    """
    told = " and ".join(f"{start:g} to {end:g}" for start, end in ranges[:3])
    return told if len(ranges) <= 3 else f"{told}... ({len(ranges)} of them)"


_SCORERS: dict[AnswerKind, Callable[[Task, Answer, str], Verdict]] = {
    "choice": choice,
    "multi": several,
    "order": order,
    "text": text,
    "transcript": transcript,
    "number": number,
    "rounded": rounded,
    "relative": relative,
    "mra": mra,
}
