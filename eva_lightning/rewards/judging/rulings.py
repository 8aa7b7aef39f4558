"""Verdicts that were given before, by what was asked: in memory, and in a file that outlives a crash.

A key covers everything a verdict depends on: every word of the prompt, which frames of which version of a
file, which model, which rubric. What a judge failed to say is never kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from eva_lightning.faults import UsageError
from eva_lightning.files.lock import in_turn
from eva_lightning.files.store import Appender, read
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


class Rulings:
    """All rulings so far. Several processes may add to one file; each knows what was there when it began."""

    def __init__(self, path: str | Path | None = None) -> None:
        """
        Args:
            path: JSONL file to go on with, or to begin; None keeps them in memory only.
        """
        self.path = None if path is None else Path(path)
        self._known: dict[str, Ruling] = {}
        self._file: Appender | None = None
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with in_turn(self.path):
                    self._file = Appender(self.path)  # cuts off what a killed writer left
                    self._known = {one.key: one for one in read(self.path, Ruling)}
            except OSError as problem:
                raise UsageError(
                    f"{self.path}: can not be written ({problem.strerror or problem}); name another cache"
                ) from None

    def __len__(self) -> int:
        return len(self._known)

    def find(self, keys: Sequence[str]) -> dict[str, Ruling]:
        """Those that are known."""
        return {key: self._known[key] for key in keys if key in self._known}

    def add(self, ruling: Ruling) -> None:
        """Keep one; it is handed to the operating system before this returns."""
        self._known[ruling.key] = ruling
        if self._file is not None and self.path is not None:
            with in_turn(self.path):
                self._file.append(ruling)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
