"""Numbers: the one that an answer names, and four ways to say how near it is to the gold one.

An answer that names none, or several, is wrong: nobody guesses which was meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from eva_lightning.records import Answer, Task
from eva_lightning.scoring.verdict import Verdict

WORDS = tuple("zero one two three four five six seven eight nine ten eleven twelve".split())
_VALUES = {word: float(value) for value, word in enumerate(WORDS)}

_STEP = (0.95 - 0.5) / 9
TOLERANCES = (*(1 - (0.5 + place * _STEP) for place in range(9)), 1 - 0.95)
"""Relative errors from 0.5 down to 0.05, to the last bit those of VSI-Bench's script: what lies on a step
(4 of 5) is judged as it is there."""


def number(task: Task, gold: Answer, said: str) -> Verdict:
    """Right or wrong: equal, save for the last of seven digits."""
    return _judged(gold, said, exact)


def rounded(task: Task, gold: Answer, said: str) -> Verdict:
    """1 to the first decimal, 0.5 to the integer."""
    return _judged(gold, said, _rounded)


def relative(task: Task, gold: Answer, said: str) -> Verdict:
    """1 - the relative error, no less than 0."""
    return _judged(gold, said, lambda value, wanted: max(0.0, 1.0 - relative_error(value, wanted)))


def mra(task: Task, gold: Answer, said: str) -> Verdict:
    """Mean relative accuracy: the share of ten tolerances that the relative error keeps to."""
    return _judged(gold, said, mean_relative_accuracy)


def _judged(gold: Answer, said: str, nearness: Callable[[float, float], float]) -> Verdict:
    wanted, value = float(gold.value), number_in(said)  # type: ignore[arg-type]
    if value is None:
        return Verdict(value=0.0, reason=f"{said[:40]!r} does not name one number")
    near = 1.0 if exact(value, wanted) else float(nearness(value, wanted))
    error = "" if near in (0.0, 1.0) else f": {near:.2f}"
    return Verdict(value=near, reason=f"{value:g}, gold {wanted:g}{error}")


def number_in(said: str) -> float | None:
    """The one number that a text names, in digits or else in words; None if it names none or several."""
    found = re.findall(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][+-]?\d+)?", said)
    words = [_VALUES[word] for word in re.findall(r"[a-z]+", said.lower()) if word in _VALUES]
    numbers = [float(text.replace(",", "")) for text in found] or words
    return numbers[0] if len(numbers) == 1 else None


def exact(value: float, wanted: float) -> bool:
    """Whether they are the same number, written in another way perhaps."""
    return abs(value - wanted) <= 1e-6 * max(1.0, abs(wanted))


def _rounded(value: float, wanted: float) -> float:
    """Halves go to the even neighbour, as Python rounds; infinity is near nothing."""
    if abs(value) == float("inf"):
        return 0.0
    return 1.0 if round(value, 1) == round(wanted, 1) else 0.5 if round(value) == round(wanted) else 0.0


def relative_error(value: float, wanted: float) -> float:
    """The error as a share of the gold number; of 0 any error is infinite.

    >>> relative_error(8.0, 10.0), relative_error(0.0, 0.0), relative_error(1.0, 0.0)
    (0.2, 0.0, inf)
    """
    if value == wanted:
        return 0.0
    return abs(value - wanted) / abs(wanted) if wanted else float("inf")


def mean_relative_accuracy(value: float, wanted: float) -> float:
    """The share of TOLERANCES that the relative error does not exceed.

    >>> [mean_relative_accuracy(value, 100.0) for value in (100.0, 78.0, 151.0)]
    [1.0, 0.6, 0.0]
    """
    error = relative_error(value, wanted)
    return sum(error <= most for most in TOLERANCES) / len(TOLERANCES)
