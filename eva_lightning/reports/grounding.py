"""Grounding: how well answers that name times meet the gold ones, in the measures of the papers.

Each is a mean over questions, so that it has an interval and a p value like accuracy. Arithmetic only; what
the times of one answer are worth is the scorer's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from eva_lightning.scoring import Verdict

REACHED = (0.3, 0.5, 0.7)
"""Overlaps (IoU) with the gold interval from which grounding papers count an answer."""
OVERLAPS = ("overlap", *(f"overlap>={least}" for least in REACHED))
"""The mean IoU (mIoU), and the share that reaches each of these (R@0.3 and so on)."""
AREAS = ("precision_auc", "recall_auc", "overlap_auc")
"""Areas under the curves of VUE-TR: which share of the answers reaches a threshold, over all thresholds."""
TIMED = (*OVERLAPS, "precision", "recall", *AREAS, "accuracy_grounded")
"""All of them. precision is the share of the said seconds that is gold (IoP), recall the share of the gold
ones that was said; accuracy_grounded is the share whose answer is right while its precision is 0.5 or more
(Acc@GQA), of the questions that ask for an answer and its times."""

THRESHOLDS = (*(place * 0.01 for place in range(100)), 1.0)
"""Of a curve, to the last bit those that numpy's linspace makes."""


def timed(verdict: Verdict) -> dict[str, float]:
    """The measures of one answer; nothing where no times are asked for.

    Two are not of every question: `precision_auc` only of those where a time was said, as in VUE-TR's script,
    `accuracy_grounded` only of those that ask for an answer, too.

    >>> from eva_lightning.scoring.intervals import Overlap
    >>> found = Overlap(iou=0.4, precision=0.5, recall=2 / 3)
    >>> timed(Verdict(value=0.7, reason="", answer=1.0, overlap=found))["accuracy_grounded"]
    1.0
    """
    found = verdict.overlap
    if found is None:
        return {}
    reached = (float(found.iou >= least) for least in REACHED)
    values = dict(zip(OVERLAPS, (found.iou, *reached), strict=True))
    values |= {"precision": found.precision, "recall": found.recall}
    if found.said:
        values["precision_auc"] = area(found.precision)
    values |= {"recall_auc": area(found.recall), "overlap_auc": area(found.iou, strictly=True)}
    if verdict.answer is not None:
        values["accuracy_grounded"] = float(verdict.grounded)
    return values


def means(answers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each measure over the answers that have it.

    >>> means([{"overlap": 0.6, "precision": 1.0}, {"overlap": 0.2}, {}])
    {'overlap': 0.4, 'precision': 1.0}
    """
    held: dict[str, list[float]] = {}
    for one in answers:
        for name, value in one.items():
            held.setdefault(name, []).append(value)
    return {name: sum(held[name]) / len(held[name]) for name in TIMED if name in held}


def area(value: float, *, strictly: bool = False) -> float:
    """The area under one answer's curve by the trapezoid rule: 1 up to its value, 0 beyond.

    VUE-TR's script lets a precision or recall reach its own threshold, and an IoU only pass it; so the areas
    of nothing are 0.005 and 0, those of everything 1 and 0.995. The mean over answers is the area under the
    mean curve.

    >>> area(0.0), area(0.505), area(1.0), area(0.0, strictly=True), area(1.0, strictly=True)
    (0.005, 0.505, 1.0, 0.0, 0.995)
    """
    reached = sum(value > least if strictly else value >= least for least in THRESHOLDS)
    if not reached:
        return 0.0
    return 1.0 if reached == len(THRESHOLDS) else (reached - 0.5) / 100
