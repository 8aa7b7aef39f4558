"""`eva convert`: our trajectories as chat data of other trainers or as Parquet, and such as ours.

It trains and judges nothing, and opens no video of others.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eva_lightning.agent.config import AgentConfig, default_dialect, default_tools
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.commands.arguments import refuse_to_overwrite, run_command, want_one_or_more
from eva_lightning.data.exchange.columns import write_parquet
from eva_lightning.data.exchange.footage import TURNS, Footage
from eva_lightning.data.exchange.imported import Reader
from eva_lightning.data.exchange.looks import looks_of
from eva_lightning.data.exchange.pictures import ImageType, PictureFolder
from eva_lightning.data.exchange.row_forms import OURS, Form, Inlet, Outlet
from eva_lightning.data.exchange.sharegpt import dataset_entry
from eva_lightning.data.intake.row import Table
from eva_lightning.data.intake.tables import rows_of
from eva_lightning.data.intake.video_folder import VideoFolder
from eva_lightning.faults import UsageError
from eva_lightning.files.atomic import appearing
from eva_lightning.files.encoding import FieldError
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.store import portable, write
from eva_lightning.records import Task

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
    videos: str | None = None,
    allow_outside: bool = False,
    window: dict[str, Any] | None = None,
    agent: AgentConfig = USUAL,
    table: Table = PLAIN,
) -> None:
    """Write trajectories as chat data or Parquet that others read, or what others wrote as ours or as tasks.

    Args:
        rows: Trajectories or chat data, which is seen from the columns: JSONL, a JSON list, Parquet, a
            `datasets` folder or hub id.
        out: File to write: JSONL, or Parquet.
        to: trajectories are ours, as JSONL; parquet has the same in typed columns, for `datasets` and a hub.
            sharegpt is for LLaMA-Factory (conversations, images, kto_tag), trl for TRL's SFT (messages,
            images), trl-kto for its KTO (prompt, completion, label, images). These three have a column `eva`
            more, which brings them back without loss. tasks are questions about videos out of the rows of
            LongVT, Video-o3, verl or ms-swift; what these wrote to answer them is kept as `turns`, for eva
            collect --written turns.
        images: Folder into which the frames are written as image files, each once; what is there is kept.
            None writes none: the rows can be read back here, but others can train only on those without
            frames.
        image_type: png keeps every pixel, jpeg is smaller where a scene was filmed.
        image_root: Folder from which relative image paths in rows of others count; None is the folder of the
            file.
        image_tokens: Visual tokens (28 x 28 pixels each) that an image of others may take; a larger one is
            shrunk. None takes any size.
        dataset_info: LLaMA-Factory's dataset_info.json, into which the entry of --out is put.
        videos: Folder of the videos that rows name, for --to tasks. A path is taken as it is if it lies in
            it, else its longest tail that exists there.
        allow_outside: Let rows name videos elsewhere, by a whole path or a link.
        window: What a call of the agent's tool says beside its range of seconds, for --to tasks: other agents
            say the range alone. None takes what the example in the tool's manual says.
        agent: Whose calls and answers they are (its dialect), and where its frames come from (its world); of
            tasks, who will act out their turns (its dialect and its first tool).
        table: What must be known of the file of rows.
    """
    _check(to, images, image_tokens, dataset_info, videos)
    listed = {} if dataset_info is None else _read_dataset_info(Path(dataset_info))
    refuse_to_overwrite(out, rows)
    with ExitStack() as stack:
        stack.enter_context(sole_writer(out, "give another --out"))
        if videos is not None:
            footage = _footage(agent, VideoFolder(videos, allow_outside), window)
            _tell_tasks(out, _written_tasks(rows, out, table, footage))
            return
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
        here = str(file.parent) if file.expanduser().exists() else root  # a name on a hub is no folder
        inlet = Inlet(reader=reader, root=here, source=file.stem)
        outlet = Outlet(form=to, reader=reader, root=root, pictures=pictures)
        put = write_parquet if to == "parquet" else write
        count = put(out, _converted(rows, table, inlet, outlet))
    print(f"{count} rows in {out}")
    for line in (*_told_of_reading(inlet.counts), *_told_of_writing(outlet)):
        print(line)
    if to == "sharegpt":
        _tell_dataset_info(Path(out), outlet, dataset_info, listed)


def _check(
    to: Form, images: str | None, image_tokens: int | None, dataset_info: str | None, videos: str | None
) -> None:
    want_one_or_more(image_tokens=image_tokens)
    if (to == "tasks") != (videos is not None):
        raise UsageError("--to tasks and --videos FOLDER go together: tasks are questions about videos")
    if videos is not None and not Path(videos).is_dir():
        raise UsageError(f"{videos}: no such folder; give the one in which the videos lie")
    if dataset_info is not None and to != "sharegpt":
        raise UsageError(f"dataset_info.json is LLaMA-Factory's; it goes with --to sharegpt, not {to}")
    if images is not None and to in (*OURS, "tasks"):
        raise UsageError(f"{to} hold references, not images: leave out --images")


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


def _footage(agent: AgentConfig, videos: VideoFolder, window: Mapping[str, Any] | None) -> Footage:
    tools = default_tools() if agent.tools is None else agent.tools
    if not tools:
        raise UsageError("tasks with turns want an agent that looks: leave out --agent.tools []")
    return Footage(looks=looks_of(agent.dialect or default_dialect(), tools[0], window), videos=videos)


def _written_tasks(rows: str, out: str, table: Table, footage: Footage) -> Counter[str]:
    """Write the tasks of a file; how many there are, and of what kinds."""
    source, root, counts = Path(rows).stem, Path(out).parent, Counter[str]()

    def tasks() -> Iterator[Task]:
        for row in tqdm(rows_of(rows, table), desc="converting", unit="row"):
            try:
                task = footage.task(row.values, source, row.number)
            except FieldError as problem:
                raise UsageError(f"{row.place}: {problem}") from None
            counts.update(tasks=1, turns=int(TURNS in task.extra), unanswered=int(task.answer is None))
            yield portable(task, root)
        if not counts:
            raise UsageError(f"{rows}: holds no rows")

    write(out, tasks())
    return counts


def _tell_tasks(out: str, counts: Counter[str]) -> None:
    print(f"{counts['tasks']} tasks in {out}")
    if counts["turns"]:
        print(f"{counts['turns']} of them with the turns that were written: eva collect --written {TURNS}")
    if counts["unanswered"]:
        print(f"{counts['unanswered']} of them without a gold answer: nothing can be scored there")


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
    if outlet.form in OURS:
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
