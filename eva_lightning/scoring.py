"""One scorer per kind of answer, used by rewards and benchmarks alike, so that both always agree.

`score(task, said)` compares what the agent wrote with the gold answer and says why. `renderings(task)` lists
the ways in which the gold answer may be written; each of them scores 1. Nothing here calls a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from eva_lightning.records import Answer, Task
from eva_lightning.timecode import clock, parse_seconds

LONGEST = 2000
"""Characters of an open answer that are compared word by word: 300 words, where one is a sentence."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How good an answer is."""

    value: float
    """Between 0 and 1."""
    reason: str
    """What was compared, in words."""

    @property
    def correct(self) -> bool:
        """Whether it counts as right for accuracy: at least one half (an interval IoU or a ROUGE of 0.5)."""
        return self.value >= 0.5


def score(task: Task, said: str | None) -> Verdict:
    """How well `said` matches the gold answer of `task`."""
    if task.answer is None:
        raise ValueError(f"task {task.id!r} has no gold answer to score against")
    if said is None or not said.strip():
        return Verdict(value=0.0, reason="no answer")
    return _SCORERS[task.answer.kind](task, task.answer, said.strip())


def canonical(answer: Answer) -> str:
    """The plain way to write a gold answer.

    >>> canonical(Answer(kind="interval", value=(12.0, 20.0)))
    '12.0 to 20.0'
    >>> canonical(Answer(kind="order", value=("B", "A")))
    'B, A'
    """
    value = answer.value
    if answer.kind == "interval":
        start, end = _span(answer)
        return f"{start} to {end}"
    if isinstance(value, tuple):
        return ", ".join(str(letter) for letter in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def renderings(task: Task) -> list[str]:
    """Ways in which an agent may write the gold answer; all of them score 1."""
    answer = task.answer
    if answer is None:
        raise ValueError(f"task {task.id!r} has no gold answer to render")
    plain = canonical(answer)
    ways = [plain, f" {plain}\n", f"{plain.rstrip('.')}."]
    if answer.kind == "choice":
        ways += [plain.lower(), f"({plain})", f"**{plain}**", f"Option {plain}", f"The answer is {plain}."]
        if task.options:
            words = task.options[task.letters.index(plain)]
            ways += [words, f"{plain}. {words}", f"({plain}) {words}", f"{plain}: {words}"]
    elif answer.kind == "multi":
        ways += [plain.lower(), f"({plain})", *(sign.join(_sequence(answer)) for sign in ("", " ", " and "))]
    elif answer.kind == "order":
        named = _sequence(answer)
        ways += [plain.lower(), f"({plain})", *(sign.join(named) for sign in (" ", " > ", " -> ", "->"))]
        ways += ["".join(named)] if all(len(one) == 1 for one in named) else []
        if _are_numbered(task) and not plain.replace(", ", "").isdecimal():
            ways.append("->".join(str(task.letters.index(one) + 1) for one in named))
    elif answer.kind == "interval":
        start, end = _span(answer)
        ways += [
            f"[{start}, {end}]",
            f"{start}-{end}",
            f"{start} - {end} s",
            f"from {start}s to {end} seconds",
        ]
        if start.is_integer() and end.is_integer():
            ways += [f"{clock(start)} to {clock(end)}", f"{clock(start)}-{clock(end)}"]
    elif answer.kind == "number":
        number = float(answer.value)  # type: ignore[arg-type]
        ways += [str(number), f"{plain} times"] + ([_WORDS[int(number)]] if number in range(13) else [])
    return ways


def _sequence(answer: Answer) -> tuple[str, ...]:
    return cast("tuple[str, ...]", answer.value)


def _span(answer: Answer) -> tuple[float, float]:
    start, end = cast("tuple[float, float]", answer.value)
    return float(start), float(end)


def _choice(task: Task, gold: Answer, said: str) -> Verdict:
    letter = _letter(task, said)
    right = letter == gold.value
    return Verdict(value=float(right), reason=f"chose {letter or repr(said[:40])}, gold {gold.value}")


def _letter(task: Task, said: str) -> str | None:
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


def _multi(task: Task, gold: Answer, said: str) -> Verdict:
    letters = _named(task, gold, said)
    right = sorted(letters) == sorted(_sequence(gold))
    return Verdict(value=float(right), reason=f"chose {_told(letters)}, gold {canonical(gold)}")


def _order(task: Task, gold: Answer, said: str) -> Verdict:
    letters = _named(task, gold, said)
    right = letters == _sequence(gold)
    return Verdict(value=float(right), reason=f"order {_told(letters)}, gold {canonical(gold)}")


def _told(letters: Sequence[str]) -> str:
    """Letters or numbers in a line, however many an agent wrote, and however long."""
    told = ", ".join(letters[:26])
    return told if len(letters) <= 26 and len(told) <= 100 else f"{told:.100}... ({len(letters)} of them)"


def _named(task: Task, gold: Answer, said: str) -> tuple[str, ...]:
    """The options that are named, in the order written: by letter, or by number where they are numbered."""
    numbers = re.findall(r"\d+", said)
    if len(numbers) == 1 and (len(task.options) or len(_sequence(gold))) < 10:
        numbers = list(numbers[0])  # "213": no option has such a number
    if numbers and all(value.isdecimal() for value in _sequence(gold)):
        return tuple(numbers)
    letters = {str(place): letter for place, letter in enumerate(task.letters, start=1)}
    if numbers and all(number in letters for number in numbers) and _are_numbered(task):
        return tuple(letters[number] for number in numbers)
    return _letters(said)


def _are_numbered(task: Task) -> bool:
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


def _interval(task: Task, gold: Answer, said: str) -> Verdict:
    start, end = _span(gold)
    found = re.findall(r"\d+(?::\d+)+(?:\.\d+)?|\d+(?:\.\d+)?", said)
    if len(found) != 2:
        return Verdict(value=0.0, reason=f"{said[:40]!r} does not name two times")
    try:
        first, second = (parse_seconds(text) for text in found)
    except ValueError as problem:  # "00:01:10:05", or hundreds of digits
        return Verdict(value=0.0, reason=f"{problem!s:.80}")
    if second <= first:
        return Verdict(value=0.0, reason=f"{first:g} to {second:g} is no interval")
    shared = max(0.0, min(end, second) - max(start, first))
    union = (end - start) + (second - first) - shared
    reason = f"{first:g} to {second:g} against {start:g} to {end:g}: IoU {shared / union:.2f}"
    return Verdict(value=shared / union, reason=reason)


def _number(task: Task, gold: Answer, said: str) -> Verdict:
    wanted = float(gold.value)  # type: ignore[arg-type]
    found = re.findall(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][+-]?\d+)?", said)
    words = [_VALUES[word] for word in re.findall(r"[a-z]+", said.lower()) if word in _VALUES]
    numbers = [float(text.replace(",", "")) for text in found] or words
    if len(numbers) != 1:
        return Verdict(value=0.0, reason=f"{said[:40]!r} does not name one number")
    right = abs(numbers[0] - wanted) <= 1e-6 * max(1.0, abs(wanted))
    return Verdict(value=float(right), reason=f"{numbers[0]:g}, gold {wanted:g}")


def _text(task: Task, gold: Answer, said: str) -> Verdict:
    value = rouge(str(gold.value), said)
    reason = f"mean ROUGE-1/2/L F {value:.2f} against {str(gold.value)[:60]!r}"
    if len(said) > LONGEST:
        reason += f"; of {len(said)} characters the first {LONGEST} were read"
    return Verdict(value=value, reason=reason)


def rouge(gold: str, said: str) -> float:
    """Mean of the ROUGE-1, ROUGE-2 and ROUGE-L F-measures, stemmed; 1 for equal texts of any length.

    Of texts that differ the first `LONGEST` characters are compared: ROUGE-L takes words times words.
    """
    if _plain(gold) == _plain(said):
        return 1.0  # a single word has no bigrams: ROUGE-2 alone would call it wrong
    scores = _rouge_scorer().score(_stemmable(gold), _stemmable(said))
    return float(sum(part.fmeasure for part in scores.values()) / len(scores))


def _stemmable(text: str) -> str:
    """The begin of a text, of words that a stemmer can take: it reads a run of one letter again and again."""
    return re.sub(r"([a-z0-9]{64})[a-z0-9]+", r"\1", text[:LONGEST].lower())


def _plain(text: str) -> str:
    """Lower-case words alone; a text without any word as it is, save for its full stop."""
    return " ".join(re.findall(r"\w+", text.lower())) or text.strip().rstrip(".").strip()


@cache
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # imports nltk, which costs a second

    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)


_WORDS = tuple("zero one two three four five six seven eight nine ten eleven twelve".split())
_VALUES = {word: float(value) for value, word in enumerate(_WORDS)}

_SCORERS: dict[str, Callable[[Task, Answer, str], Verdict]] = {
    "choice": _choice,
    "multi": _multi,
    "order": _order,
    "interval": _interval,
    "text": _text,
    "number": _number,
}
