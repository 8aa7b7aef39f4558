"""Seconds as a dialect writes them: to so many decimals, in labels of what was seen, in lengths of clips."""

from __future__ import annotations

import math
from dataclasses import dataclass

from eva_lightning.agent.worlds.base import Glimpse
from eva_lightning.records import Part


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """A way to write them."""

    decimals: int
    """Digits behind the point; 0 says whole seconds."""
    unit: str
    """What stands behind a number in a label."""

    def written(self, seconds: float) -> str:
        """A number without its unit.

        >>> Seconds(decimals=2, unit="s").written(3)
        '3.00'
        """
        return f"{seconds:.{self.decimals}f}"

    def within(self, duration: float) -> str:
        """A length, rounded down: who asks for the video up to its stated end must not be past it.

        >>> Seconds(decimals=0, unit="s").within(9.9)
        '9'
        """
        scale = 10**self.decimals
        return self.written(math.floor(round(duration * scale, 6)) / scale)

    def labelled(self, glimpse: Glimpse) -> list[Part]:
        """What was seen at a moment, its time before it, on a line."""
        time = glimpse.time if glimpse.label is None else glimpse.label
        note = f" ({glimpse.note})" if glimpse.note else ""
        return [f"{self.written(time)} {self.unit}: ", glimpse.content, f"{note}\n"]
