"""Verdicts: what a check found and what follows from it, one line a thing. They check nothing themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]
"""A note costs speed or a feature; a problem must be solved first."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One thing that was looked at."""

    name: str
    """What it is."""
    level: Level
    """How it is."""
    found: str
    """What was seen or measured, in words and numbers."""
    advice: str = ""
    """What to do; empty if nothing needs to be done."""


def lines(verdicts: Sequence[Verdict]) -> str:
    """Verdicts as aligned lines.

    >>> print(lines([Verdict(name="torch", level="note", found="2.13.0", advice="take 2.14")]))
    note     torch  2.13.0: take 2.14
    """
    widest = max((len(verdict.name) for verdict in verdicts), default=0)
    return "\n".join(
        f"{verdict.level:<7}  {verdict.name:<{widest}}  {verdict.found}"
        + (f": {verdict.advice}" if verdict.advice else "")
        for verdict in verdicts
    )


def problems(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that must be solved."""
    return [verdict for verdict in verdicts if verdict.level == "problem"]
