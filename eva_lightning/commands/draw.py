"""`eva draw`: folders of pictures become videos, with the objects that a question names in boxes.

Once before a benchmark whose clips are such folders; what is there is not made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from eva_lightning.commands.arguments import run_command, want_one_or_more
from eva_lightning.data.intake.bad_row import BadRow, counted
from eva_lightning.data.intake.cells import cell, filled, value_of
from eva_lightning.data.intake.picture_folder import boxes_of, make_video, pictures_in, tags_in
from eva_lightning.data.intake.row import Row
from eva_lightning.data.intake.tables import rows_of
from eva_lightning.faults import UsageError


def main(words: Sequence[str]) -> None:
    run_command(draw, words, "eva draw")


def draw(
    rows: str,
    pictures: str,
    out: str,
    boxes: str | None = None,
    tag: str = "A",
    question: str = "question",
    objects: str = "objects",
    fps: int = 10,
    side: int = 1280,
) -> None:
    """Make a video of the pictures of each row of a file.

    Paths may name columns in braces: 'frames/{vid}'. A row that can not be drawn is left out and counted.

    Args:
        rows: File of questions, as `eva prepare` reads them.
        pictures: Folder of a row's pictures.
        out: Video of a row.
        boxes: JSON file of a list of objects with id and bbox, which says for the number of each picture its
            xtl, ytl, xbr and ybr, or null; by default nothing is drawn.
        tag: Letter of the tags of this view: {A1} is the first object.
        question: Column of the question, which names tags.
        objects: Column of the list of objects, each with an id.
        fps: Pictures a second of the video.
        side: Longest side of the video, in pixels.
    """
    want_one_or_more(fps=fps, side=side)
    if len(tag) != 1 or not tag.isalpha():
        raise UsageError(f"tag is {tag!r}: want one letter")
    made = there = 0
    broken: list[tuple[str, BadRow]] = []
    for row in tqdm(list(rows_of(rows)), desc="videos", unit="video"):
        try:
            path = Path(filled(out, row.values))
            if path.exists():
                there += 1
                continue
            _draw(row, path, pictures, boxes, tag, question, objects, fps, side)
            made += 1
        except BadRow as problem:
            broken.append((row.place, problem))
    print(f"{made} videos made, {there} were there")
    if broken:
        place, first = broken[0]
        causes = counted(problem.cause for _, problem in broken)
        raise UsageError(
            f"{len(broken)} rows could not be drawn: {causes}; the first: {place}: {first.detail}"
        )


def _draw(
    row: Row,
    path: Path,
    pictures: str,
    boxes: str | None,
    letter: str,
    question: str,
    objects: str,
    fps: int,
    side: int,
) -> None:
    found, around = pictures_in(Path(filled(pictures, row.values))), {}
    if boxes is not None:
        tags = tags_in(str(value_of(row.values, question)), letter)
        if tags:
            around = boxes_of(Path(filled(boxes, row.values)), cell(row.values, objects), tags)
    make_video(found, around, path, fps, side)
