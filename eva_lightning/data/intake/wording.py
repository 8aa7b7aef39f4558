"""The wording of other people's rows: options inside a question, the option an answer is, a range of time.

Pure functions of text.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any, Literal

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.records import letters
from eva_lightning.timecode import parse_seconds

OptionStyle = Literal["A. ", "A: ", "(A) ", "none"]
"""What stands before an option, at the begin of a line. none: an open question."""

OPTION = {
    "A. ": re.compile(r"^([A-Z])\. ?(.*)$", re.MULTILINE),
    "A: ": re.compile(r"^([A-Z]): ?(.*)$", re.MULTILINE),
    "(A) ": re.compile(r"^\(([A-Z])\) ?(.*)$", re.MULTILINE),
}

PLACEHOLDER = re.compile(r"\s*<(?:image|video|audio)>\s*")
"""Where chat data says that a video is shown."""

_LETTER = re.compile(r"(?:[(]([A-Za-z])[)]\.?|([A-Za-z])[.:)])(?:\s*(.+))?|([A-Za-z])", re.DOTALL)


def split_options(wording: str, style: str) -> tuple[str, tuple[str, ...]]:
    """The question and its options. What follows the last option on lines of its own belongs to neither.

    >>> split_options("What?\\n(A) a cat\\n(B) a dog\\nOnly give the best option.", "(A) ")
    ('What?', ('a cat', 'a dog'))
    """
    if style == "none":
        return wording.strip(), ()
    found: list[re.Match[str]] = []
    for option in OPTION[style].finditer(wording):  # a line of the question may look like one: begin at A
        if option[1] == letters(len(found) + 1)[-1]:
            found.append(option)
        elif option[1] == "A":
            found = [option]
    if len(found) < 2:
        raise BadRow("no options", f"no lines that begin with {style!r} in {wording[:60]!r}")
    return wording[: found[0].start()].strip(), tuple(option[2].strip() for option in found)


def find_options(wording: str) -> tuple[str, tuple[str, ...]]:
    """The question and its options, however they are marked; none where no lines look like options.

    >>> find_options("Which?\\nA: red\\nB: blue"), find_options("Why?")
    (('Which?', ('red', 'blue')), ('Why?', ()))
    """
    for style in OPTION:
        try:
            return split_options(wording, style)
        except BadRow:
            continue
    return wording.strip(), ()


def letter_of(said: str, options: Sequence[str]) -> str:
    """The letter of the option that a gold answer names, by letter, by words or by both.

    A letter counts more than its words, unless they are those of another option.

    >>> [letter_of(said, ["Black", "Silver"]) for said in ("A.", "(b)", "B. Silver.", "silver", "B. grey")]
    ['A', 'B', 'B', 'B', 'B']
    """
    texts, known = [_plain(option) for option in options], letters(len(options))
    if texts.count(_plain(said)) == 1:
        return known[texts.index(_plain(said))]
    found = _LETTER.fullmatch(said.strip())
    letter = (found[1] or found[2] or found[4]).upper() if found else ""
    words = _plain(found[3] or "") if found else ""
    if letter not in known or (words in texts and words != texts[known.index(letter)]):
        raise BadRow("no such option", f"answer {said[:60]!r} is none of {len(options)} options")
    return letter


def is_a_letter(said: str) -> bool:
    """Whether an answer is the letter of an option and nothing more.

    >>> is_a_letter("B."), is_a_letter("(c)"), is_a_letter("Be")
    (True, True, False)
    """
    found = _LETTER.fullmatch(said.strip())
    return bool(found and not found[3])


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip().rstrip(".")).lower()


def span(text: str) -> tuple[float, float]:
    """The two seconds of a range; one time is a range of no length.

    >>> span("00:10-01:20"), span("7")
    ((10.0, 80.0), (7.0, 7.0))
    """
    begin, _, end = text.partition("-")
    try:
        return parse_seconds(begin), parse_seconds(end or begin)
    except ValueError as problem:
        raise BadRow("no interval", f"evidence {text!r}: {problem}") from None


def literal(value: Any) -> Any:
    """A list or an object that a file holds as text (CSV does), as what it is.

    >>> literal("['a', 'b']"), literal('{"A": 1}'), literal("{[]: 1}")
    (['a', 'b'], {'A': 1}, '{[]: 1}')
    """
    if not isinstance(value, str) or not value.strip().startswith(("[", "{")):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return value
