"""Bars with intervals, drawn with Pillow: the few charts a report needs, without a plotting library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c")
"""One a series, again from the first when they run out."""

_INK, _FAINT, _GRID = "#222222", "#666666", "#e4e4e4"
_SHARP = 2  # drawn twice as large and shrunk: smooth edges


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
    image = Image.new("RGB", (width * _SHARP, (head + height * len(rows)) * _SHARP), "white")
    draw = ImageDraw.Draw(image)
    _legend(draw, legend, width)
    for number, row in enumerate(rows):
        each = width // len(row)
        for place, panel in enumerate(row):
            _panel(draw, panel, place * each, head + number * height, each, height)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.resize((image.width // _SHARP, image.height // _SHARP), Image.Resampling.LANCZOS).save(path, "PNG")


def _legend(draw: ImageDraw.ImageDraw, names: Sequence[str], width: int) -> None:
    """In one line, cut where it is full."""
    x = 24.0
    for number, name in enumerate(names):
        if x > width - 80:
            break
        _box(draw, x, 24, x + 14, 38, COLOURS[number % len(COLOURS)])
        shown = _fitted(name, 220, 15)
        _text(draw, x + 22, 31, shown, 15, _INK, "lm")
        x += 22 + _length(shown, 15) + 28


def _panel(draw: ImageDraw.ImageDraw, panel: Panel, x: int, y: int, width: int, height: int) -> None:
    left, right, top, bottom = x + 58, x + width - 20, y + 46, y + height - 44
    _text(draw, x + 24, y + 18, panel.title, 17, _INK, "lm")
    highest = max((bar.high for _, bars in panel.groups for bar in bars), default=0.0)
    scale = panel.top if panel.top is not None else _round_up(highest)
    for step in range(5):
        level = bottom - (bottom - top) * step / 4
        _box(draw, left, level, right, level + 1, _GRID)
        _text(draw, left - 8, level, panel.spell(scale * step / 4), 12, _FAINT, "rm")
    room = (right - left) / max(len(panel.groups), 1)
    for place, (label, bars) in enumerate(panel.groups):
        _group(draw, panel, bars, left + place * room, room, bottom, (bottom - top) / scale)
        shown = _fitted(label, room - 6, 13)
        _text(draw, left + (place + 0.5) * room, bottom + 16, shown, 13, _INK, "mm")


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
        _box(draw, a, bottom - bar.value * unit, b, bottom, COLOURS[bar.series % len(COLOURS)])
        low, high = bottom - bar.low * unit, bottom - bar.high * unit
        _box(draw, middle - 0.75, high, middle + 0.75, low, _INK)
        for end in (low, high):
            _box(draw, middle - 4, end - 0.75, middle + 4, end + 0.75, _INK)
        words = panel.spell(bar.value)
        if _length(words, 12) <= each:
            _text(draw, middle, min(high, bottom - bar.value * unit) - 9, words, 12, _INK, "mm")


def _round_up(value: float) -> float:
    """A scale that ends a little above the highest bar, at a round number.

    >>> _round_up(7.3), _round_up(130), _round_up(0)
    (8.0, 200.0, 1.0)
    """
    if value <= 0:
        return 1.0
    unit = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1
    return next(unit * step for step in (1, 2, 4, 8, 12, 20) if unit * step >= value)


def _fitted(words: str, room: float, size: int) -> str:
    while len(words) > 1 and _length(words, size) > room:
        words = words.rstrip("…")[:-1] + "…"
    return words


def _length(words: str, size: int) -> float:
    return ImageFont.load_default(size * _SHARP).getbbox(words)[2] / _SHARP


def _text(
    draw: ImageDraw.ImageDraw, x: float, y: float, words: str, size: int, colour: str, anchor: str
) -> None:
    font = ImageFont.load_default(size * _SHARP)
    draw.text((x * _SHARP, y * _SHARP), words, fill=colour, font=font, anchor=anchor)


def _box(draw: ImageDraw.ImageDraw, x0: float, y0: float, x1: float, y1: float, colour: str) -> None:
    left, top, right, bottom = x0 * _SHARP, y0 * _SHARP, x1 * _SHARP - 1, y1 * _SHARP - 1
    if (
        right >= left and bottom >= top
    ):  # thinner than a pixel is nothing, an interval of a steady measure say
        draw.rectangle((left, top, right, bottom), fill=colour)
