"""A run of hostile words through all readers: what went wrong, and which text took longest.

Every so often it is watched which lines of the project a text reaches; one that reaches a new one is kept,
and later texts are made of it.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.hostile_words import HostileWords
from tests.fuzz.readers import ALWAYS, IN_TURN, NotWrittenBack, written_back

READERS, OTHERS = ALWAYS | IN_TURN, tuple(IN_TURN)
PROJECT = str(Path(__file__).parents[2] / "eva_lightning")
WATCHED = 29
"""One text out of so many; prime, or some of the readers in turn would never be watched."""
SLOW = 0.025
"""Seconds of processor time from which on a reading is repeated, because others use the machine too."""


@dataclass(kw_only=True)
class Campaign:
    """What was found so far."""

    seed: int = 0
    """Dice of the texts."""
    inputs: int = 0
    """Texts read."""
    broken: list[tuple[str, str, str]] = field(default_factory=list)
    """Reader, text and trouble of each thing that went wrong."""
    not_written_back: int = 0
    """How many of these are records that a file did not give back equal."""
    readings: int = 0
    """Texts times readers."""
    accepted: int = 0
    """Records that were written and read back."""
    slowest: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Seconds of processor time and the text that took them, by reader."""
    lines: set[tuple[str, int]] = field(default_factory=set)
    """Lines of the project that were reached."""

    def __post_init__(self) -> None:
        self.words = HostileWords(self.seed)

    def run(self, count: int) -> None:
        """Read so many more texts."""
        for _ in range(count):
            text, known = self.words.next(), len(self.lines)
            self.inputs += 1
            if self.inputs % WATCHED:
                self.read(text)
                continue
            with watching(self.lines):
                self.read(text, timed=False)
            if len(self.lines) > known:
                self.words.keep(text)

    def read(self, text: str, timed: bool = True) -> None:
        """Put one text to the readers whose turn it is."""
        for name in [*ALWAYS, *(OTHERS[(2 * self.inputs + place) % len(OTHERS)] for place in range(2))]:
            self.readings += 1
            try:
                seconds, accepted = self._reading(name, text)
                for record in accepted:
                    self.accepted += 1
                    written_back(record)
            except Exception as problem:
                self.not_written_back += isinstance(problem, NotWrittenBack)
                self.broken.append((name, text, f"{type(problem).__name__}: {problem!s:.300}"))
                continue
            if timed and seconds > self.slowest.get(name, (0.0, ""))[0]:
                again = (self._reading(name, text)[0] for _ in range(4 * (seconds > SLOW)))
                seconds = min([seconds, *again])
                self.slowest[name] = max(self.slowest.get(name, (0.0, "")), (seconds, text))

    @staticmethod
    def _reading(name: str, text: str) -> tuple[float, list[Any]]:
        began = time.process_time()
        accepted = list(READERS[name](text))
        return time.process_time() - began, accepted


@contextmanager
def watching(lines: set[tuple[str, int]]) -> Iterator[None]:
    """Add every line of the project that is reached to `lines`."""

    def on_line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            lines.add((frame.f_code.co_filename, frame.f_lineno))
        return on_line

    def on_call(frame: FrameType, event: str, _: Any) -> Any:
        return on_line if frame.f_code.co_filename.startswith(PROJECT) else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(before)
