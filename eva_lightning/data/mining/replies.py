"""Replies of a teacher, read strictly: rows of the one shape that was asked for, or the reason why not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eva_lightning.agent.rollout import derive_seed
from eva_lightning.data.mining.author import Rejected, RejectionCause
from eva_lightning.engines.single_turn import json_of
from eva_lightning.records import Answer, Clip, Task, letters

_REFUSAL = re.compile(
    r"\b(?:sorry|can(?:no|')t|can not|unable|won't|will not|decline|not able|as an ai)\b", re.IGNORECASE
)
LONGEST = 600
"""Characters of a question, an option or an answer; what is longer is no question."""


@dataclass(frozen=True, kw_only=True)
class Commission:
    """What was asked of a teacher in one message."""

    clip: Clip
    """The video that it was shown."""
    shown: tuple[float, float]
    """From which second to which."""
    count: int
    """How many questions it may write."""
    options: bool
    """Whether they are to have options."""
    source: str
    """What they count as: the source of the failures."""
    cause: str
    """Why those failed."""


def read_rows(text: str, commission: Commission) -> list[Task | Rejected]:
    """Every row of a reply as a task, or as what is wrong with it."""
    try:
        rows = json_of(text)
    except ValueError as problem:
        if _REFUSAL.search(text) and not set(text) & set("[{"):
            return [Rejected(cause="refused", reason="the teacher would not write", text=text)]
        return [Rejected(cause="not JSON", reason=str(problem), text=text)]
    rows = rows if isinstance(rows, list) else [rows]
    if not rows:
        return [Rejected(cause="refused", reason="the teacher wrote an empty list", text=text)]
    read = [_read_row(row, commission) for row in rows[: commission.count]]
    if len(rows) > commission.count:
        more = f"{len(rows)} rows where {commission.count} were asked for; the rest is left out"
        rest = json.dumps(rows[commission.count :], ensure_ascii=False)
        read.append(Rejected(cause="surplus", reason=more, text=rest))
    return read


class _Wrong(Exception):
    """A row that is no task: its cause and reason."""

    def __init__(self, cause: RejectionCause, reason: str) -> None:
        super().__init__(reason)
        self.cause = cause


def _read_row(row: Any, commission: Commission) -> Task | Rejected:
    try:
        return _task(row, commission)
    except _Wrong as problem:
        text = json.dumps(row, ensure_ascii=False)
        return Rejected(cause=problem.cause, reason=str(problem), text=text)


def _task(row: Any, commission: Commission) -> Task:
    wanted = {"question", "answer", "start", "end"} | ({"options"} if commission.options else set())
    if not isinstance(row, dict) or row.keys() != wanted:
        found = ", ".join(sorted(map(str, row))) if isinstance(row, dict) else type(row).__name__
        raise _Wrong("not a task", f"want an object of {', '.join(sorted(wanted))}; found {found:.100}")
    question = _words(row["question"], "question")
    options = _options(row["options"]) if commission.options else ()
    answer = _answer(row["answer"], options)
    start, end = (_number(row[name], name) for name in ("start", "end"))
    low, high = commission.shown
    seen = max(start, low) < min(end, high)  # teachers round; something of it must have been shown
    if not low - 0.5 <= start < end <= high + 0.5 or not seen:
        raise _Wrong(
            "off clip", f"evidence from {start:g} to {end:g} s; shown were {low:.1f} to {high:.1f} s"
        )
    name = f"{derive_seed(commission.clip.path, question, *options):016x}"
    return Task(
        id=f"mined-{commission.clip.id}-{name}",
        source=commission.source,
        clips=(commission.clip,),
        question=question,
        options=options,
        answer=answer,
        extra={"evidence": [[max(start, low), min(end, high)]], "mined": commission.cause},
    )


def _words(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("not a task", f"{name} is {value!r:.60}; want words")
    if len(value) > LONGEST:
        raise _Wrong("not a task", f"{name} has {len(value)} characters; want at most {LONGEST}")
    return value.strip()


def _options(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not 2 <= len(value) <= 26:
        raise _Wrong("bad options", f"options are {value!r:.60}; want a list of 2 to 26")
    return tuple(_words(one, "an option") for one in value)


def _answer(value: Any, options: Sequence[str]) -> Answer:
    """A right option by its text or its letter; a number; words."""
    if options:
        said = _words(value, "answer")
        known = letters(len(options))
        texts = [option.casefold() for option in options]
        if said.casefold() in texts:
            return Answer(kind="choice", value=known[texts.index(said.casefold())])
        if said in known:
            return Answer(kind="choice", value=said)
        raise _Wrong("bad options", f"the answer {said!r:.60} is none of the options")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Answer(kind="number", value=_number(value, "answer"))
    return Answer(kind="text", value=_words(value, "answer"))


def _number(value: Any, name: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not abs(value) < 1e9:  # NaN is not below anything
        raise _Wrong("not a task", f"{name} is {value!r:.60}; want a number")
    return float(value)
