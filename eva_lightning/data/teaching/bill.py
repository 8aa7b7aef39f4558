"""The costs of a collection so far, over all of its runs.

They are kept in a small file beside the trajectories, and told line by line. Prices are an argument: they
change, and no file should go stale with them.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from eva_lightning.engines.meter import Meter, Usage
from eva_lightning.files.store import read, write


@dataclass(frozen=True, kw_only=True)
class Bill:
    """The row of the file."""

    usage: Usage = field(default_factory=Usage)
    """What the server was asked for."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """Trajectories that a fault ended, by cause; those made again since are counted, too."""
    objections: Mapping[str, int] = field(default_factory=dict)
    """Messages of the teacher that the auditor objected to, by cause."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What a million tokens cost, in whatever money the reader pays with."""

    read: float | None = None
    """Prompt tokens; None tells no money."""
    written: float | None = None
    """Written tokens; None tells no money."""

    def __post_init__(self) -> None:
        if (self.read is None) != (self.written is None):
            raise ValueError("money is told where both prices are known: say prices.read and prices.written")

    def of(self, usage: Usage) -> float | None:
        if self.read is None or self.written is None:
            return None
        return (self.read * usage.prompt_tokens + self.written * usage.written_tokens) / 1e6


class RunningBill:
    """Adds to what earlier runs cost. Written whole after every reply: a killed run has told all it knew."""

    def __init__(self, path: str | Path, meter: Meter | None) -> None:
        self.path = Path(path)
        self._before = read_bill(self.path)
        self._faults, self._objections = Counter(self._before.faults), Counter(self._before.objections)
        self._lock = threading.Lock()
        self._meter = meter or Meter()
        self._meter.on_change = self._save

    @property
    def bill(self) -> Bill:
        return Bill(
            usage=self._before.usage + self._meter.usage,
            faults=dict(self._faults),
            objections=dict(self._objections),
        )

    def fault(self, text: str) -> None:
        """A trajectory was ended by this fault."""
        with self._lock:
            self._faults[cause_of_fault(text)] += 1
        self._meter.add(Usage())  # which saves

    def objection(self, cause: str) -> None:
        """The auditor objected for this cause."""
        with self._lock:
            self._objections[cause] += 1
        self._meter.add(Usage())

    def _save(self) -> None:
        with self._lock:
            bill = self.bill
            write(self.path, [replace(bill, usage=_rounded(bill.usage))])


def read_bill(path: Path) -> Bill:
    """What earlier runs cost; nothing where there were none."""
    return next(iter(read(path, Bill)), Bill()) if path.exists() else Bill()


def bill_rows(bill: Bill, prices: Prices, kept: int) -> list[list[str]]:
    """All of it, name and figure. `kept` is how many trajectories there are to share the bill."""
    usage = bill.usage
    rows = [
        ["requests", f"{usage.requests:,}"],
        ["tries again", f"{usage.retries:,}"],
        ["prompt tokens", f"{usage.prompt_tokens:,}"],
        ["of them cached", f"{usage.cached_tokens:,}"],
        ["written tokens", f"{usage.written_tokens:,}"],
        ["frames sent", f"{usage.images:,}"],
        ["seconds of waiting", f"{usage.seconds:,.0f}"],
    ]
    if usage.unmetered:
        rows.append(["replies without tokens", f"{usage.unmetered:,}"])
    money = prices.of(usage)
    if money is not None:
        rows.append(["money", f"{money:,.2f}"])
        rows.append(["money per trajectory kept", f"{money / kept:,.4f}" if kept else "-"])
    for kind, counts in (
        ("failed request", usage.failures),
        ("fault", bill.faults),
        ("objection", bill.objections),
    ):
        rows += [
            [f"{kind}: {cause}", f"{count:,}"]
            for cause, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        ]
    return rows


def cause_of_fault(text: str) -> str:
    """A fault in a few words, without the names and numbers that make each of them different.

    >>> cause_of_fault("http://a:1/v1/chat/completions refused: HTTP 400: too long")
    'HTTP 400'
    >>> cause_of_fault("http://a:1/v1/x did not answer in 5 tries; last: TimeoutError: timed out")
    'TimeoutError'
    >>> cause_of_fault("clips/a.mp4: is not a video; give another file")
    'is not a video'
    """
    asked = re.search(r"(?:refused|last): (HTTP \d+|\w+)", text)
    if asked:
        return asked[1]
    what = re.split(r"[;(\n]", text.partition(": ")[2] or text)[0]
    return re.sub(r"\d+(?:\.\d+)?", "N", what).strip()[:60] or "unknown"


def _rounded(usage: Usage) -> Usage:
    return replace(usage, seconds=round(usage.seconds, 3))
