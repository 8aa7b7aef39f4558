"""The frames of a trajectory as one picture: a row for each look, each frame under its time.

For reading, not models.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

from eva_lightning.records import FrameRef, Trajectory
from eva_lightning.video.decoder import Pixels

_HEIGHT, _LABEL, _GAP, _WIDEST = 112, 14, 4, 1600


def save_contact_sheet(trajectory: Trajectory, pixels: Callable[[FrameRef], Pixels], path: str | Path) -> int:
    """Write the PNG; the number of frames on it. A trajectory that saw nothing writes no file."""
    sheet = contact_sheet(trajectory, pixels)
    if sheet is None:
        return 0
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, "PNG")
    return sum(map(len, _looks(trajectory)))


def contact_sheet(trajectory: Trajectory, pixels: Callable[[FrameRef], Pixels]) -> Image.Image | None:
    """The picture; None for a trajectory that saw nothing."""
    rows = [_row(frames, pixels) for frames in _looks(trajectory)]
    if not rows:
        return None
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height + _GAP for row in rows) - _GAP), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height + _GAP
    return sheet


def _looks(trajectory: Trajectory) -> list[tuple[FrameRef, ...]]:
    """The frames of each turn that saw any."""
    return [
        turn.observation.frames for turn in trajectory.turns if turn.observation and turn.observation.frames
    ]


def _row(frames: tuple[FrameRef, ...], pixels: Callable[[FrameRef], Pixels]) -> Image.Image:
    """One look, wrapped into lines of at most 1600 pixels."""
    pictures = []
    for frame in frames:
        picture = Image.fromarray(pixels(frame))
        pictures.append(picture.resize((max(1, picture.width * _HEIGHT // picture.height), _HEIGHT)))
    step = max(picture.width for picture in pictures) + _GAP  # clips may differ in shape
    per_line = max(1, _WIDEST // step)
    lines = -(-len(pictures) // per_line)
    row = Image.new("RGB", (min(len(pictures), per_line) * step - _GAP, lines * (_HEIGHT + _LABEL)), "white")
    draw = ImageDraw.Draw(row)
    for i, (frame, picture) in enumerate(zip(frames, pictures, strict=True)):
        left, top = (i % per_line) * step, (i // per_line) * (_HEIGHT + _LABEL)
        draw.text((left, top), f"{frame.time:.2f} s  {frame.width}x{frame.height}", fill="black")
        row.paste(picture, (left, top + _LABEL))
    return row
