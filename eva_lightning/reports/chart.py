"""Bars with intervals, in panels under one legend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    fitted,
    length,
    round_up,
    save,
    write,
)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar."""

    series: int
    """Which colour."""
    value: float
    """Its height."""
    low: float
    """Lower end of its whisker."""
    high: float
    """Upper end."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One chart: groups of bars over a common scale."""

    title: str
    """Stands above it."""
    groups: Sequence[tuple[str, Sequence[Bar]]]
    """Label below and bars of each group."""
    spell: Callable[[float], str]
    """How numbers are written."""
    top: float | None = None
    """Upper end of the scale; None fits it to the bars."""


def save_chart(path: str | Path, legend: Sequence[str], rows: Sequence[Sequence[Panel]]) -> None:
    """A PNG with rows of panels, all of one width, under one legend."""
    width, height, head = 1200, 330, 58
    image, draw = canvas(width, head + height * len(rows))
    draw_legend(draw, legend, width)
    for number, row in enumerate(rows):
        each = width // len(row)
        for place, panel in enumerate(row):
            _panel(draw, panel, place * each, head + number * height, each, height)
    save(image, path)


def _panel(draw: ImageDraw.ImageDraw, panel: Panel, x: int, y: int, width: int, height: int) -> None:
    left, right, top, bottom = x + 58, x + width - 20, y + 46, y + height - 44
    write(draw, x + 24, y + 18, panel.title, 17, INK, "lm")
    highest = max((bar.high for _, bars in panel.groups for bar in bars), default=0.0)
    scale = panel.top if panel.top is not None else round_up(highest)
    for step in range(5):
        level = bottom - (bottom - top) * step / 4
        box(draw, left, level, right, level + 1, GRID)
        write(draw, left - 8, level, panel.spell(scale * step / 4), 12, FAINT, "rm")
    room = (right - left) / max(len(panel.groups), 1)
    for place, (label, bars) in enumerate(panel.groups):
        _group(draw, panel, bars, left + place * room, room, bottom, (bottom - top) / scale)
        shown = fitted(label, room - 6, 13)
        write(draw, left + (place + 0.5) * room, bottom + 16, shown, 13, INK, "mm")


def _group(
    draw: ImageDraw.ImageDraw,
    panel: Panel,
    bars: Sequence[Bar],
    left: float,
    room: float,
    bottom: float,
    unit: float,
) -> None:
    if not bars:
        return
    each = min(room * 0.8 / len(bars), 64.0)
    start = left + (room - each * len(bars)) / 2
    for number, bar in enumerate(bars):
        a, b = start + number * each + 1, start + (number + 1) * each - 1
        middle = (a + b) / 2
        box(draw, a, bottom - bar.value * unit, b, bottom, COLOURS[bar.series % len(COLOURS)])
        low, high = bottom - bar.low * unit, bottom - bar.high * unit
        box(draw, middle - 0.75, high, middle + 0.75, low, INK)
        for end in (low, high):
            box(draw, middle - 4, end - 0.75, middle + 4, end + 0.75, INK)
        words = panel.spell(bar.value)
        if length(words, 12) <= each:
            write(draw, middle, min(high, bottom - bar.value * unit) - 9, words, 12, INK, "mm")
