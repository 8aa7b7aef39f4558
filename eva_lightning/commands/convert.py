"""`eva convert`: our trajectories as chat data of other trainers, and chat data of others as trajectories.

It trains and judges nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eva_lightning.agent.config import AgentConfig, default_dialect
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.commands.arguments import refuse_to_overwrite, run_command, want_one_or_more
from eva_lightning.data.exchange.imported import Reader
from eva_lightning.data.exchange.pictures import ImageType, PictureFolder
from eva_lightning.data.exchange.row_forms import Form, Inlet, Outlet
from eva_lightning.data.exchange.sharegpt import dataset_entry
from eva_lightning.data.intake.row import Table
from eva_lightning.data.intake.tables import rows_of
from eva_lightning.faults import UsageError
from eva_lightning.files.atomic import appearing
from eva_lightning.files.encoding import FieldError
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.store import write

PLAIN, USUAL = Table(), AgentConfig()


def main(words: Sequence[str]) -> None:
    run_command(convert, words, "eva convert")


def convert(
    rows: str,
    out: str,
    to: Form,
    images: str | None = None,
    image_type: ImageType = "png",
    image_root: str | None = None,
    image_tokens: int | None = 1280,
    dataset_info: str | None = None,
    agent: AgentConfig = USUAL,
    table: Table = PLAIN,
) -> None:
    """Write trajectories as chat data that other trainers read, or chat data as trajectories for SFT and KTO.

    Args:
        rows: Trajectories or chat data, which is seen from the columns: JSONL, a JSON list, Parquet, a
            `datasets` folder or hub id.
        out: JSONL file to write.
        to: trajectories are ours; sharegpt is for LLaMA-Factory (conversations, images, kto_tag), trl for
            TRL's SFT (messages, images), trl-kto for its KTO (prompt, completion, label, images). All but
            ours have a column `eva` more, which brings them back without loss.
        images: Folder into which the frames are written as image files, each once; what is there is kept.
            None writes none: the rows can be read back here, but others can train only on those without
            frames.
        image_type: png keeps every pixel, jpeg is smaller where a scene was filmed.
        image_root: Folder from which relative image paths in rows of others count; None is the folder of the
            file.
        image_tokens: Visual tokens (28 x 28 pixels each) that an image of others may take; a larger one is
            shrunk. None takes any size.
        dataset_info: LLaMA-Factory's dataset_info.json, into which the entry of --out is put.
        agent: Whose calls and answers they are (its dialect), and where its frames come from (its world).
        table: What must be known of the file of rows.
    """
    _check(to, images, image_tokens, dataset_info)
    listed = {} if dataset_info is None else _read_dataset_info(Path(dataset_info))
    refuse_to_overwrite(out, rows)
    with ExitStack() as stack:
        stack.enter_context(sole_writer(out, "give another --out"))
        world = stack.enter_context(closing(agent.world or VideoWorld()))
        pictures = None
        if images is not None:
            pictures = stack.enter_context(closing(PictureFolder(images, world, image_type)))
        file, root = Path(rows), str(Path(out).parent)
        reader = Reader(
            dialect=agent.dialect or default_dialect(),
            world=world,
            root=file.parent if image_root is None else Path(image_root),
            image_tokens=image_tokens,
        )
        inlet = Inlet(reader=reader, root=str(file.parent), source=file.stem)
        outlet = Outlet(form=to, reader=reader, root=root, pictures=pictures)
        count = write(out, _converted(rows, table, inlet, outlet))
    print(f"{count} rows in {out}")
    for line in (*_told_of_reading(inlet.counts), *_told_of_writing(outlet)):
        print(line)
    if to == "sharegpt":
        _tell_dataset_info(Path(out), outlet, dataset_info, listed)


def _check(to: Form, images: str | None, image_tokens: int | None, dataset_info: str | None) -> None:
    want_one_or_more(image_tokens=image_tokens)
    if dataset_info is not None and to != "sharegpt":
        raise UsageError(f"dataset_info.json is LLaMA-Factory's; it goes with --to sharegpt, not {to}")
    if images is not None and to == "trajectories":
        raise UsageError("trajectories hold references, not images: leave out --images")


def _converted(rows: str, table: Table, inlet: Inlet, outlet: Outlet) -> Iterator[Any]:
    empty = True
    for row in tqdm(rows_of(rows, table), desc="converting", unit="row"):
        empty = False
        try:
            trajectory = inlet.trajectory(row.values, row.number)
        except FieldError as problem:
            raise UsageError(f"{row.place}: {problem}") from None
        yield outlet.row(trajectory)
    if empty:
        raise UsageError(f"{rows}: holds no rows")


def _told_of_reading(counts: Counter[str]) -> Iterator[str]:
    said = {
        "whole": "rows of ours came back whole",
        "edited": "rows of ours were changed elsewhere: their words are taken; token ids, log-probs and "
        "scores are dropped",
        "foreign": "rows of others, without token ids",
        "untagged": "of them end without a marked answer: all of the last turn is taken for it",
        "user turns": "of them have the user speak again: read as what the agent observes",
    }
    yield from (f"{counts[key]} {words}" for key, words in said.items() if counts[key])


def _told_of_writing(outlet: Outlet) -> Iterator[str]:
    counts, pictures = outlet.counts, outlet.pictures
    if outlet.form == "trajectories":
        return
    if pictures is not None:
        yield f"{pictures.written} images written, {pictures.found} were there, in {pictures.folder}"
        yield f"image paths count from {Path(outlet.root).resolve()}"
    elif counts["frames"]:
        yield (
            f"{counts['frames']} frames are references only: there is no column `images`, so no other "
            "trainer can show them; --images FOLDER writes them"
        )
    if counts["unfit"]:
        yield f"{counts['unfit']} rows do not end with a turn of the model: other trainers leave them out"
    if outlet.form == "trl-kto" and counts["unmarked"]:
        yield f"{counts['unmarked']} rows have no mark (label is null): TRL's KTO wants one on each"


def _read_dataset_info(file: Path) -> dict[str, Any]:
    """The entries that are there already."""
    try:
        listed = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except json.JSONDecodeError as problem:
        raise UsageError(f"{file}:{problem.lineno}: not JSON ({problem.msg})") from None
    except (OSError, ValueError, RecursionError) as problem:
        raise UsageError(f"{file}: can not be read ({problem}); give LLaMA-Factory's file") from None
    if not isinstance(listed, dict):
        raise UsageError(f"{file}: want an object of data sets, not {type(listed).__name__}")
    return listed


def _tell_dataset_info(
    out: Path, outlet: Outlet, dataset_info: str | None, listed: Mapping[str, Any]
) -> None:
    """The entry by which LLaMA-Factory finds the file: printed, and put where it is wanted."""
    place = out if dataset_info is None else Path(dataset_info)
    name = str(out.resolve()) if out.resolve().parent != place.resolve().parent else out.name
    marks = bool(outlet.counts["marked"])
    entry = {out.stem: dataset_entry(name, images=outlet.pictures is not None, marks=marks)}
    if dataset_info is None:
        print(f"for LLaMA-Factory's dataset_info.json: {json.dumps(entry, ensure_ascii=False)}")
        return
    with appearing(place) as part:
        text = json.dumps({**listed, **entry}, indent=2, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8")
    print(f"{out.stem} is in {place}")
