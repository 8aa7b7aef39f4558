"""Rubrics: what a judge is asked, word for word, and how its reply is read. They ask nobody.

A rubric is one fixed question. Whoever changes a word of it raises its version: verdicts are kept, and
reported, under both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eva_lightning.engines.single_turn import json_of
from eva_lightning.records import Clip, Part

LONGEST = 2000
"""Characters of a reason; what is longer gives none."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is laid before a judge."""

    parts: tuple[Part, ...]
    """Text and frames, without the question that the rubric puts."""
    clips: tuple[Clip, ...] = ()
    """Where the frames are from."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A reply that could be read."""

    word: str
    """One of the rubric's."""
    reason: str
    """Why, in the judge's own words."""


@dataclass(frozen=True, kw_only=True)
class Rubric:
    """One question with a few possible verdicts."""

    name: str
    """What is judged, in a word."""
    version: int
    """Counts the wordings."""
    question: str
    """What the judge is to decide, and when each verdict is due."""
    values: Mapping[str, float]
    """Each verdict and what it is worth, between 0 and 1."""

    @property
    def title(self) -> str:
        """Name and version: "answer/1"."""
        return f"{self.name}/{self.version}"

    @property
    def form(self) -> str:
        """How to reply."""
        words = " or ".join(f'"{word}"' for word in self.values)
        return (
            'Reply with one JSON object and nothing else: {"reason": "one short sentence", "verdict": '
            f"{words}}}"
        )

    @property
    def reminder(self) -> str:
        """What is added where the first reply could not be read."""
        return f"\n\nA reply of any other form can not be read. {self.form}"

    def prompt(self, case: Case) -> tuple[Part, ...]:
        """The whole message."""
        return (*case.parts, f"\n\n{self.question}\n{self.form}")

    def read(self, reply: str) -> Reading | None:
        """The verdict of a reply: one JSON object of a verdict and a reason, fenced or not; else None."""
        try:
            row = json_of(reply)
        except ValueError:
            return None
        if not isinstance(row, dict) or row.keys() != {"verdict", "reason"}:
            return None
        word, reason = row["verdict"], row["reason"]
        if not isinstance(word, str) or not isinstance(reason, str) or len(reason) > LONGEST:
            return None
        word = word.strip().lower()
        return Reading(word=word, reason=" ".join(reason.split())) if word in self.values else None
