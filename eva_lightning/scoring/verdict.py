"""A verdict: how good an answer is, and why. It compares nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from eva_lightning.scoring.intervals import Overlap


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How good an answer is."""

    value: float
    """Between 0 and 1. Of a grounded answer the mean of two: the answer's own value and the IoU of what was
    said with its grounds."""
    reason: str
    """What was compared, in words."""
    answer: float | None = None
    """Of a grounded answer: how good the answer is by itself; None for any other."""
    overlap: Overlap | None = None
    """How the times that were said meet the gold ones; None where no times are asked for."""

    @property
    def correct(self) -> bool:
        """Whether it counts as right for accuracy: at least one half (an interval IoU or a ROUGE of 0.5).

        A grounded answer counts by the answer alone, as in everybody's accuracy; see `grounded`.
        """
        return (self.value if self.answer is None else self.answer) >= 0.5

    @property
    def grounded(self) -> bool:
        """Whether a grounded answer is right, and half of what was said lies in its grounds (Acc@GQA)."""
        return self.correct and self.overlap is not None and self.overlap.precision >= 0.5
