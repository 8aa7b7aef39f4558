"""A scene as pixels, with three traits at three sizes, so that a frame budget has to be spent with care.

The background fills the picture and survives any shrinking. The shape needs a few dozen pixels. The mark is
a 28-pixel plate whose pattern repeats every 4 pixels: shrunk to a quarter, each period becomes one pixel of
average brightness. An average alone would leak (a resampling filter leaves a few grey levels at the rim), so
the plate fades out smoothly at its rim and lies on random brightness, drawn anew for each event, that hides
what is left. Everything about the mark is brightness: 4:2:0 video keeps no colour at that size.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

from eva_lightning.data.synthesis.script import Background, Ink, Mark, Scene, Shape
from eva_lightning.records import PATCH
from eva_lightning.video.decoder import Pixels

PAINT: dict[Background | Ink, tuple[int, int, int]] = {
    "red": (205, 40, 40),
    "orange": (240, 140, 30),
    "yellow": (240, 220, 50),
    "green": (40, 150, 60),
    "cyan": (60, 200, 210),
    "blue": (40, 70, 210),
    "purple": (135, 50, 170),
    "brown": (120, 75, 40),
    "black": (10, 10, 10),
    "white": (245, 245, 245),
    "grey": (128, 128, 128),
    "pink": (250, 150, 190),
}
"""RGB of every colour word."""

PERIOD = 4
CONTRAST = 60.0
RIM = 8.0
GRAIN = 48.0
"""Of the plate: pixels from one line to the next, their swing, pixels over which they fade, and the swing of
the random brightness below them (measured: 100 % readable from half size on, chance at a quarter)."""


def draw(scene: Scene, height: int, width: int, grain: object = 0) -> Pixels:
    """The picture of a scene; `grain` seeds the random brightness of its plate."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = PAINT[scene.background]
    picture[_inside(scene.shape, height, width)] = PAINT[scene.ink]
    top, left = plate_corner(height, width)
    picture[top : top + PATCH, left : left + PATCH] = _plate(scene.mark, grain)[..., None]
    return picture


def plate_corner(height: int, width: int) -> tuple[int, int]:
    """Top and left of the plate: the last whole visual token at native size.

    So one token holds the mark.
    """
    return (height // PATCH - 1) * PATCH, (width // PATCH - 1) * PATCH


def _inside(shape: Shape, height: int, width: int) -> NDArray[np.bool_]:
    """Which pixels belong to a shape in the middle, 0.45 of the shorter side across."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    radius = 0.225 * min(height, width)
    x = (x - (width - 1) / 2) / radius
    y = (y - (height - 1) / 2) / radius
    if shape == "circle":
        return np.asarray(x * x + y * y <= 1)
    if shape == "square":
        return np.asarray(np.maximum(abs(x), abs(y)) <= 0.9)
    if shape == "triangle":
        return np.asarray((y <= 1) & (y >= 2 * abs(x) - 1))
    return np.asarray((np.maximum(abs(x), abs(y)) <= 1) & (np.minimum(abs(x), abs(y)) <= 0.3))


def _plate(mark: Mark, grain: object) -> NDArray[np.uint8]:
    dice = random.Random(f"grain/{grain}")
    cells = PATCH // PERIOD
    blotches = [[dice.uniform(-GRAIN, GRAIN) for _ in range(cells)] for _ in range(cells)]
    brightness = 128 + np.kron(np.array(blotches), np.ones((PERIOD, PERIOD)))
    y, x = np.mgrid[0:PATCH, 0:PATCH]
    rim = np.minimum(np.minimum(x, PATCH - 1 - x), np.minimum(y, PATCH - 1 - y))
    fade = 0.5 - 0.5 * np.cos(np.pi * np.clip(rim / RIM, 0, 1))
    return np.asarray(np.round(brightness + CONTRAST * fade * _lines(mark, x, y)), np.uint8)


def _lines(mark: Mark, x: NDArray[np.int_], y: NDArray[np.int_]) -> NDArray[np.int_]:
    """+1 on light, -1 on dark; two pixels each, so that every 4x4 square averages to 0."""
    half = PERIOD // 2
    steps = {
        "rows": y // half,
        "columns": x // half,
        "checks": x // half + y // half,
        "slants": (x + y) // half,
    }
    return np.asarray(steps[mark] % 2 * 2 - 1)
