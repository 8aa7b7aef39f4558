"""Accuracy against visual tokens, a point for each run and benchmark: the efficiency frontier of the papers.

Up and to the left is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageDraw

from eva_lightning.reports.drawing import (
    COLOURS,
    FAINT,
    GRID,
    INK,
    box,
    canvas,
    draw_legend,
    round_up,
    save,
    write,
)

WIDTH, HEIGHT, HEAD = 1200, 620, 58
LEFT, RIGHT, TOP, BOTTOM = 70, WIDTH - 40, HEAD + 20, HEIGHT - 56


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run on one benchmark."""

    series: int
    """Which colour: the run."""
    label: str
    """Stands beside it: the benchmark."""
    tokens: float
    """Mean visual tokens a question."""
    accuracy: float
    """Share answered rightly."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""


def save_frontier(path: str | Path, legend: Sequence[str], points: Sequence[Point]) -> None:
    """A PNG of all points under one legend."""
    image, draw = canvas(WIDTH, HEIGHT)
    draw_legend(draw, legend, WIDTH)
    most = round_up(max((point.tokens for point in points), default=0.0))
    for step in range(6):
        share, level = step / 5, BOTTOM - (BOTTOM - TOP) * step / 5
        across = LEFT + (RIGHT - LEFT) * share
        box(draw, LEFT, level, RIGHT, level + 1, GRID)
        write(draw, LEFT - 8, level, f"{share:.0%}", 12, FAINT, "rm")
        write(draw, across, BOTTOM + 14, f"{most * share:g}", 12, FAINT, "mm")
    write(draw, (LEFT + RIGHT) / 2, BOTTOM + 38, "visual tokens a question", 14, INK, "mm")
    write(draw, LEFT, HEAD, "accuracy", 14, INK, "lm")
    for point in points:
        _draw(draw, point, most)
    save(image, path)


def _draw(draw: ImageDraw.ImageDraw, point: Point, most: float) -> None:
    x = LEFT + (RIGHT - LEFT) * point.tokens / most
    y, high, low = (BOTTOM - (BOTTOM - TOP) * value for value in (point.accuracy, point.high, point.low))
    colour = COLOURS[point.series % len(COLOURS)]
    box(draw, x - 0.75, high, x + 0.75, low, FAINT)
    box(draw, x - 5, y - 5, x + 5, y + 5, colour)
    beside, anchor = (-10, "rm") if x > RIGHT - 160 else (10, "lm")
    write(draw, x + beside, y, point.label, 12, INK, anchor)
