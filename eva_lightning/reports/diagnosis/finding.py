"""Verdicts: what a check found and what follows from it, one line a thing. They check nothing themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]
"""A note costs speed or a feature; a problem must be solved first."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """What it is."""
    level: Level
    """How it is."""
    found: str
    """What was seen or measured, in words and numbers."""
    advice: str = ""
    """What to do; empty if nothing needs to be done."""


def lines(findings: Sequence[Finding]) -> str:
    """Findings as aligned lines.

    >>> print(lines([Finding(name="torch", level="note", found="2.13.0", advice="take 2.14")]))
    note     torch  2.13.0: take 2.14
    """
    widest = max((len(finding.name) for finding in findings), default=0)
    return "\n".join(
        f"{finding.level:<7}  {finding.name:<{widest}}  {finding.found}"
        + (f": {finding.advice}" if finding.advice else "")
        for finding in findings
    )


def problems(findings: Iterable[Finding]) -> list[Finding]:
    """Those that must be solved."""
    return [finding for finding in findings if finding.level == "problem"]
