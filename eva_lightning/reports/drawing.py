"""A canvas with text and boxes: what the few pictures of a report need.

It is Pillow instead of a plotting library. Everything is drawn twice as large and shrunk, which makes smooth
edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c")
"""One a series, again from the first when they run out."""

INK, FAINT, GRID = "#222222", "#666666", "#e4e4e4"
SHARP = 2  # drawn twice as large and shrunk: smooth edges


def canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A white picture of that size, and what draws on it."""
    image = Image.new("RGB", (width * SHARP, height * SHARP), "white")
    return image, ImageDraw.Draw(image)


def save(image: Image.Image, path: str | Path) -> None:
    """As PNG, in its final size."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.resize((image.width // SHARP, image.height // SHARP), Image.Resampling.LANCZOS).save(path, "PNG")


def draw_legend(draw: ImageDraw.ImageDraw, names: Sequence[str], width: int) -> None:
    """In one line, cut where it is full."""
    x = 24.0
    for number, name in enumerate(names):
        if x > width - 80:
            break
        box(draw, x, 24, x + 14, 38, COLOURS[number % len(COLOURS)])
        shown = fitted(name, 220, 15)
        write(draw, x + 22, 31, shown, 15, INK, "lm")
        x += 22 + length(shown, 15) + 28


def round_up(value: float) -> float:
    """A scale that ends a little above the highest bar, at a round number.

    >>> round_up(7.3), round_up(130), round_up(0)
    (8.0, 200.0, 1.0)
    """
    if value <= 0:
        return 1.0
    unit = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1
    return next(unit * step for step in (1, 2, 4, 8, 12, 20) if unit * step >= value)


def fitted(words: str, room: float, size: int) -> str:
    """As much of the words as there is room for."""
    while len(words) > 1 and length(words, size) > room:
        words = words.rstrip("…")[:-1] + "…"
    return words


def length(words: str, size: int) -> float:
    """How wide they are."""
    return ImageFont.load_default(size * SHARP).getbbox(words)[2] / SHARP


def write(
    draw: ImageDraw.ImageDraw, x: float, y: float, words: str, size: int, colour: str, anchor: str
) -> None:
    """Words at a place; `anchor` is Pillow's: "lm" is left and middle."""
    font = ImageFont.load_default(size * SHARP)
    draw.text((x * SHARP, y * SHARP), words, fill=colour, font=font, anchor=anchor)


def box(draw: ImageDraw.ImageDraw, x0: float, y0: float, x1: float, y1: float, colour: str) -> None:
    """A filled box, ends included."""
    left, top, right, bottom = x0 * SHARP, y0 * SHARP, x1 * SHARP - 1, y1 * SHARP - 1
    # thinner than a pixel is nothing, an interval of a steady measure say
    if right >= left and bottom >= top:
        draw.rectangle((left, top, right, bottom), fill=colour)
