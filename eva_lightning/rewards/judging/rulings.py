"""Verdicts that were given before, by what was asked: in memory, and in a file that outlives a crash.

A key covers everything a verdict depends on: every word of the prompt, which frames of which version of a
file, which model, which rubric. What a judge failed to say is never kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from eva_lightning.files.memo import Memo
from eva_lightning.records import Clip, Part
from eva_lightning.rewards.judging.rubric import Case, Rubric
from eva_lightning.video.identity import identity


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """A verdict, and who gave it."""

    key: str
    """Hash of what was asked, and of whom."""
    verdict: str
    """One of the words of the rubric."""
    reason: str
    """Why, in the judge's own words."""
    judge: str
    """Name of the model."""
    rubric: str
    """Name and version of the prompt."""

    @property
    def told(self) -> str:
        """Who says what, and why, in a line."""
        return f"{self.verdict}: {self.reason} (judge {self.judge}, prompt {self.rubric})"


def key_of(case: Case, rubric: Rubric, model: str) -> str:
    """Equal for equal questions to equal judges, wherever the process was started."""
    places = {clip.id: (_place(clip), clip.begin or 0.0) for clip in case.clips}
    asked = [rubric.title, model, *(_name(part, places) for part in rubric.prompt(case)), rubric.reminder]
    return blake2b(json.dumps(asked, ensure_ascii=False).encode(), digest_size=16).hexdigest()


def _place(clip: Clip) -> tuple[object, ...]:
    """Which version of which file a clip is cut from."""
    return identity(clip.path) if clip.path else (clip.id,)


def _name(part: Part, places: Mapping[str, tuple[tuple[object, ...], float]]) -> str | list[object]:
    """Text as it is; a frame by file, second of the file and size."""
    if isinstance(part, str):
        return part
    where, begin = places[part.clip]
    return [*where, round(begin + part.time, 6), part.height, part.width]


class Rulings(Memo[Ruling]):
    """All rulings so far."""

    def __init__(self, path: str | Path | None = None) -> None:
        """
        Args:
            path: JSONL file to go on with, or to begin; None keeps them in memory only.
        """
        super().__init__(Ruling, path)
