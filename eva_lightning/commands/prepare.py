"""`eva prepare`: other people's questions about videos become tasks.

It opens no video, unless it is to make smaller copies; a folder of videos without questions is for `eva
augment`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from eva_lightning.commands.arguments import refuse_to_overwrite, run_command, several, want_one_or_more
from eva_lightning.data.intake.bad_row import counted
from eva_lightning.data.intake.held_out import is_held_out
from eva_lightning.data.intake.intake import Intake, Treatment
from eva_lightning.data.intake.proxy_folder import fill
from eva_lightning.data.intake.row import Row, Table
from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.data.intake.tables import every_row_of
from eva_lightning.data.intake.video_folder import VideoFolder
from eva_lightning.faults import UsageError
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.store import portable, write
from eva_lightning.records import Task
from eva_lightning.reports.summary import table as aligned

AS_IS = RowShape()
PLAIN = Table()


def main(words: Sequence[str]) -> None:
    run_command(prepare, words, "eva prepare")


def prepare(
    rows: str | list[str],
    videos: str,
    out: str,
    shape: RowShape = AS_IS,
    table: Table = PLAIN,
    missing: Treatment = "refuse",
    bad: Treatment = "refuse",
    held_out: float = 0.0,
    limit: int | None = None,
    allow_outside: bool = False,
    proxies: str | None = None,
    proxy_pixels: int = 57_600,
) -> None:
    """Turn questions in JSONL, JSON, CSV, TSV, Parquet or a `datasets` folder or hub id into tasks.

    Args:
        rows: File, folder or hub id of the questions, or several as [a.json,b.json].
        videos: Folder of their videos. A row's path counts from here; if it is not there, its longest tail
            that is.
        out: JSONL file of tasks to write.
        shape: Which column says what; best in a config, as in eva/prepare_llava_video.yaml.
        table: What must be known of the file of rows.
        missing: A row whose video is not there: refuse stops at the first one, skip counts them.
        bad: Any other row that can not be asked (no JSON, no question, an answer that is no option, an
            id that came before): refuse stops at the first one, skip counts them by cause.
        held_out: Share of the videos whose questions go to OUT.held_out.jsonl beside `out` (tasks.jsonl has
            tasks.held_out.jsonl), for evaluation. Which videos they are follows from their names.
        limit: Take so many rows from the top; None takes all.
        allow_outside: Let a row name a video that does not lie in that folder, by its whole path or by way
            of a link; for rows that you trust.
        proxies: Folder of smaller copies to be made of the videos that tasks name, for a world whose store is
            told of it (FrameStore: proxies); what is there is not made again. None makes none: frames then
            come from the videos themselves, exactly.
        proxy_pixels: Pixels of a smaller copy's frames at most (57600 is 320x180); larger ones come from the
            video itself.
    """
    want_one_or_more(limit=limit, proxy_pixels=proxy_pixels)
    if not 0 <= held_out < 1:
        raise UsageError(f"held_out is {held_out:g}: want 0 or more, and less than 1")
    if not Path(videos).expanduser().is_dir():
        raise UsageError(f"{videos}: is no folder; give the folder of the videos")
    files, beside = several(rows), Path(out).with_suffix(".held_out.jsonl")
    refuse_to_overwrite(out, *files)
    refuse_to_overwrite(beside, *(files if held_out else []))
    if beside.exists() and not held_out:
        raise UsageError(f"{beside}: holds tasks kept from training; say --held_out again, or delete it")
    intake = Intake(shape, VideoFolder(videos, allow_outside), missing, bad)
    named = ((Path(file).stem, row) for file in files for row in every_row_of(file, table))
    root, kept = Path(out).parent, list[Task]()

    def prepared(watched: Iterable[tuple[str, Row]]) -> Iterator[Task]:
        for name, row in watched:
            for task in intake.take(row, name):
                if is_held_out(task, held_out):
                    kept.append(portable(task, root))
                else:
                    yield portable(task, root)
        _refuse_nothing(intake, files)
        _refuse_unknown(intake, files)  # in here: a file that is refused is not written
        _refuse_one_side(held_out, len(kept), len(intake.ids))

    with sole_writer(out, "give another --out"):
        with tqdm(islice(named, limit), desc="preparing", unit="row") as bar:
            count = write(out, prepared(bar))
        print(_report(intake))
        print(f"{count} tasks in {out}")
        if held_out:
            write(beside, kept)
            print(f"{len(kept)} tasks in {beside}")
    if proxies is not None:
        filled = fill(Path(proxies).expanduser(), intake.seconds, proxy_pixels)
        print(
            f"{filled.made} proxies made in {proxies}, {filled.found} were there; "
            f"{filled.without} videos have none and are decoded themselves"
        )


def _refuse_nothing(intake: Intake, files: Sequence[str]) -> None:
    if not intake.ids:
        why = counted(row.cause for row in intake.broken) or "there is no row"
        raise UsageError(f"{', '.join(files)}: none of {intake.rows} rows can be asked ({why})")


def _refuse_unknown(intake: Intake, files: Sequence[str]) -> None:
    """A column may be missing in a row, but not in all of them."""
    for column in intake.shape.keep:
        if column not in intake.columns and column.partition(".")[0] not in intake.columns:
            known = ", ".join(map(str, intake.columns))
            raise UsageError(f"{', '.join(files)}: no row has the column {column!r} of shape.keep ({known})")


def _refuse_one_side(held_out: float, kept: int, tasks: int) -> None:
    if held_out and kept in (0, tasks):
        raise UsageError(
            f"held_out {held_out:g} takes {'all' if kept else 'none'} of the videos; want another share"
        )


def _report(intake: Intake) -> str:
    """Tasks by source and kind of answer, videos and hours, and what was left out."""
    lines = [[source or "(no source)", kind, str(count)] for (source, kind), count in intake.kinds.items()]
    said = [aligned(("source", "answer", "tasks"), sorted(lines))]
    known = [seconds for seconds in intake.seconds.values() if seconds is not None]
    hours = f", {sum(known) / 3600:.1f} hours" if known else ", of unknown length"
    part = f" ({len(known)} of known length)" if 0 < len(known) < len(intake.seconds) else ""
    said.append(f"{len(intake.seconds)} videos{hours}{part}")
    if intake.broken:
        said.append(f"{len(intake.broken)} rows left out: {counted(row.cause for row in intake.broken)}")
        first = {row.cause: row for row in reversed(intake.broken)}
        causes = dict.fromkeys(row.cause for row in intake.broken)
        said += [f"  {cause}, for example {first[cause].place}: {first[cause].detail}" for cause in causes]
    return "\n".join(said)
