"""A folder of pictures becomes a video, with boxes drawn around the objects that a question names by tags.

Pictures are taken in the order of their names, at a rate that is given: when they were made is not known.
The file appears complete or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw, UnidentifiedImageError

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.files.atomic import appearing

PICTURES = {".jpg", ".jpeg", ".png"}
Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of the picture."""
COLOURS = ("#ff3030", "#30d0ff", "#ffd030", "#50ff50", "#ff60ff")


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their names; BadRow if there is none."""
    if not folder.is_dir():
        raise BadRow("no pictures", f"there is no folder {folder}")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not found:
        raise BadRow("no pictures", f"{folder} holds no picture ({', '.join(sorted(PICTURES))})")
    return found


def tags_in(question: str, letter: str) -> list[str]:
    """The tags of one view that a question names.

    >>> tags_in("When {A1} is beside {B2}, where is {A3}? {A1}", "A")
    ['A1', 'A3']
    """
    return sorted(set(re.findall(rf"\{{({re.escape(letter)}\d+)\}}", question)))


def boxes_of(file: Path, objects: Any, tags: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Of each tag the boxes of its object by the number of the picture; A1 is the first of `objects`."""
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        known = {one["id"]: one["bbox"] for one in held}
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise BadRow(
            "no boxes", f"{file}: want a list of objects with id and bbox ({problem!r:.80})"
        ) from None
    found = {}
    for tag in tags:
        place = int(tag[1:]) - 1
        if not isinstance(objects, list) or not 0 <= place < len(objects):
            raise BadRow("no boxes", f"the question names {{{tag}}}, and there is no such object")
        name = objects[place].get("id") if isinstance(objects[place], dict) else objects[place]
        if not isinstance(known.get(name), dict):
            raise BadRow("no boxes", f"{file} has no boxes of object {name!r}, which {{{tag}}} is")
        found[tag] = known[name]
    return found


def make_video(
    pictures: Sequence[Path], boxes: Mapping[str, Mapping[str, Any]], out: Path, fps: int, side: int
) -> None:
    """Write pictures as a video, shrunk so that no side is longer than `side` pixels."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with appearing(out) as part, av.open(str(part), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast", "crf": "20"})
        stream.pix_fmt = "yuv420p"
        size: tuple[int, int] | None = None
        for number, path in enumerate(pictures):
            shown = {tag: _box(one.get(str(number)), path) for tag, one in boxes.items()}
            picture = _drawn(path, {tag: box for tag, box in shown.items() if box is not None})
            if size is None:
                scale = min(1.0, side / max(picture.size))
                size = (
                    max(2, int(picture.width * scale) // 2 * 2),
                    max(2, int(picture.height * scale) // 2 * 2),
                )
                stream.width, stream.height = size
            frame = av.VideoFrame.from_ndarray(np.asarray(picture.resize(size)), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _box(value: Any, path: Path) -> Box | None:
    """A box, or None where the object is out of the picture."""
    if value is None:
        return None
    try:
        left, top, right, bottom = (float(value[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
    except (KeyError, TypeError, ValueError):
        raise BadRow("no boxes", f"{path.name}: {value!r:.60} is no box; want xtl, ytl, xbr, ybr") from None
    return left, top, max(left, right), max(top, bottom)


def _drawn(path: Path, boxes: Mapping[str, Box]) -> Image.Image:
    try:
        picture = Image.open(path).convert("RGB")
    except (OSError, UnidentifiedImageError) as problem:
        raise BadRow("no pictures", f"{path}: can not be read ({problem!s:.80})") from None
    pen, width = ImageDraw.Draw(picture), max(2, max(picture.size) // 400)
    for tag, box in boxes.items():
        colour = COLOURS[(int(tag[1:]) - 1) % len(COLOURS)]
        pen.rectangle(box, outline=colour, width=width)
        pen.text((box[0], max(0.0, box[1] - 12 * width)), tag, fill=colour, font_size=10 * width)
    return picture
