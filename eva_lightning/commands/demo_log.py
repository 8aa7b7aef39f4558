"""The demo's log: all that its commands print goes into a file; the terminal has one bar, and a line a stage.

Who prints past Python (a library in C, a process of a decoder) is caught, too, for the two outputs themselves
are turned. How far a command is, is read from what it prints.
"""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

HOW_FAR = re.compile(r"\b(\d+)/(\d+)\b|\b(\d+)%\|")
"""`iteration 30/750`, or the bar of a command: `collecting:  31%|`."""


class DemoLog(io.TextIOBase):
    """A file that listens to what is written into it."""

    def __init__(self, file: Path, parts: float, told: bool) -> None:
        """
        Args:
            file: Where everything goes; what an earlier run wrote stays.
            parts: The whole of the bar, in units of its parts.
            told: Show everything on the terminal as well as it comes, and no bar.
        """
        self.path, self._parts, self._told = file, parts, told
        self._line = ""
        self._begun = self._size = 0.0

    @contextmanager
    def turned(self) -> Iterator[None]:
        """While the outputs go into the file, unless they are to be told."""
        if self._told:
            self._shown: TextIO = sys.stdout
            yield
            return
        with ExitStack() as stack:
            self._file = stack.enter_context(open(self.path, "a", encoding="utf-8", buffering=1))
            self._shown = stack.enter_context(_kept(sys.stdout))
            for number in (1, 2):
                stack.enter_context(_turned(number, self._file.fileno()))
            stack.enter_context(redirect_stdout(self))
            stack.enter_context(redirect_stderr(self))
            shape = "{desc:<8} {percentage:3.0f}%|{bar}| {elapsed}"
            self._bar = stack.enter_context(
                tqdm(total=self._parts, file=self._shown, bar_format=shape, disable=None, leave=False)
            )
            yield

    @contextmanager
    def part(self, name: str, size: float) -> Iterator[list[str]]:
        """One part of the demo. Its line is what is put into the list; none if that stays empty."""
        line: list[str] = []
        began = time.perf_counter()
        self._size = size
        self._show(name, 0.0)
        yield line
        self._begun += size
        self._size = 0.0
        self._show(name, 0.0)
        if line:
            spent = round(time.perf_counter() - began)
            self.say(f"{name:<8} {line[0]}  ({spent // 60}:{spent % 60:02d})")

    def say(self, line: str) -> None:
        """A line for the terminal."""
        if self._told:
            print(line, flush=True)
        else:
            tqdm.write(line, file=self._shown)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Whole lines go into the file: of a bar its end, not each of its steps."""
        for piece in re.split(r"([\n\r])", text):
            if piece == "\n":
                self._file.write(f"{self._line}\n")
            self._line = "" if piece in ("\n", "\r") else self._line + piece
        self._listen()
        return len(text)

    def _listen(self) -> None:
        found = HOW_FAR.search(self._line)
        if found and self._size:
            done = int(found[1]) / max(int(found[2]), 1) if found[1] else int(found[3]) / 100
            self._show(None, min(done, 1.0))

    def _show(self, name: str | None, done: float) -> None:
        if self._told or self._bar.disable:
            return
        if name is not None:
            self._bar.set_description_str(name, refresh=False)
        self._bar.n = max(self._bar.n, self._begun + done * self._size)
        self._bar.refresh()


@contextmanager
def _kept(output: TextIO) -> Iterator[TextIO]:
    """The output as it is now, also after its number leads elsewhere."""
    try:
        number = output.fileno()
    except (OSError, ValueError):  # somebody else listens already
        yield output
        return
    output.flush()
    with os.fdopen(os.dup(number), "w", encoding=output.encoding, buffering=1) as kept:
        yield kept


@contextmanager
def _turned(number: int, file: int) -> Iterator[None]:
    """While an output of this process leads into a file."""
    before = os.dup(number)
    os.dup2(file, number)
    try:
        yield
    finally:
        os.dup2(before, number)
        os.close(before)
