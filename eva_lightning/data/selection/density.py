"""Density: whether a look has too many frames for its window, or too few.

One rule for a call that is about to be made (teaching/audits.py) and for a look that was made (feedback.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DensityRules:
    """Where the borders are; the defaults are those of EVA's audit."""

    frames_per_second: float = 1.0
    """Most frames a second of a window; a moment holds one."""
    few: int = 0
    """A look of so many frames, or fewer, is never too dense."""
    long_seconds: float = 60.0
    """A window longer than this..."""
    long_frames: int = 4
    """...wants at least so many frames."""

    def __post_init__(self) -> None:
        if self.frames_per_second <= 0 or self.long_seconds < 0:
            raise ValueError(
                f"frames_per_second {self.frames_per_second:g}, long_seconds {self.long_seconds:g}: want "
                "more than 0, and 0 or more"
            )

    def most(self, seconds: float) -> int:
        """Frames that a window of so many seconds may have.

        >>> DensityRules().most(10.0), DensityRules().most(0.0), DensityRules(few=8).most(2.0)
        (11, 1, 8)
        """
        return max(1 + int(seconds * self.frames_per_second), self.few)

    def against(self, frames: int, seconds: float) -> Literal["dense", "sparse"] | None:
        """What is wrong with so many frames of so many seconds.

        >>> rules = DensityRules()
        >>> rules.against(5, 2.0), rules.against(3, 2.0), rules.against(3, 61.0), rules.against(4, 61.0)
        ('dense', None, 'sparse', None)
        """
        if frames > self.most(seconds):
            return "dense"
        return "sparse" if seconds > self.long_seconds and frames < self.long_frames else None
