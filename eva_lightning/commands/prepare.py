"""`eva prepare`: other people's questions about videos become tasks. It opens no video; a folder of videos
without questions is for `eva augment`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from eva_lightning.agent.rollout import derive_seed
from eva_lightning.commands.arguments import refuse_to_overwrite, run_command, several, want_one_or_more
from eva_lightning.data.intake.bad_row import BadRow, counted
from eva_lightning.data.intake.questions import tasks_of
from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.data.intake.tables import Row, Table, rows_of
from eva_lightning.data.intake.video_folder import MISSING, VideoFolder
from eva_lightning.faults import UsageError
from eva_lightning.files.store import portable, write
from eva_lightning.records import Task
from eva_lightning.reports.summary import table as aligned

AS_IS = RowShape()
PLAIN = Table()
Treatment = Literal["refuse", "skip"]


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
        bad: Any other row that can not be asked (no question, an answer that is no option, an id that came
            before): refuse stops at the first one, skip counts them by cause.
        held_out: Share of the videos whose questions go to OUT.held_out.jsonl beside `out` (tasks.jsonl has
            tasks.held_out.jsonl), for evaluation. Which videos they are follows from their names.
        limit: Take so many rows from the top; None takes all.
    """
    want_one_or_more(limit=limit)
    if not 0 <= held_out < 1:
        raise UsageError(f"held_out is {held_out:g}: want 0 or more, and less than 1")
    if not Path(videos).expanduser().is_dir():
        raise UsageError(f"{videos}: is no folder; give the folder of the videos")
    files, beside = several(rows), Path(out).with_suffix(".held_out.jsonl")
    refuse_to_overwrite(out, *files)
    refuse_to_overwrite(beside, *(files if held_out else []))
    if beside.exists() and not held_out:
        raise UsageError(f"{beside}: holds tasks kept from training; say --held_out again, or delete it")
    intake = Intake(shape, VideoFolder(videos), missing, bad)
    named = ((Path(file).stem, row) for file in files for row in rows_of(file, table))
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

    with tqdm(islice(named, limit), desc="preparing", unit="row") as bar:
        count = write(out, prepared(bar))
    print(intake.report())
    print(f"{count} tasks in {out}")
    if held_out:
        write(beside, kept)
        print(f"{len(kept)} tasks in {beside}")


def _refuse_nothing(intake: Intake, files: Sequence[str]) -> None:
    if not intake.ids:
        why = counted(intake.left_out.elements()) or "there is no row"
        raise UsageError(f"{', '.join(files)}: none of {intake.rows} rows can be asked ({why})")


def _refuse_unknown(intake: Intake, files: Sequence[str]) -> None:
    """A column may be missing in a row, but not in all of them."""
    for column in intake.shape.keep:
        if column not in intake.columns:
            known = ", ".join(map(str, intake.columns))
            raise UsageError(f"{', '.join(files)}: no row has the column {column!r} of shape.keep ({known})")


def _refuse_one_side(held_out: float, kept: int, tasks: int) -> None:
    if held_out and kept in (0, tasks):
        raise UsageError(
            f"held_out {held_out:g} takes {'all' if kept else 'none'} of the videos; want another share"
        )


def is_held_out(task: Task, share: float) -> bool:
    """Whether one of its videos is among those kept from training. That follows from the name of the file
    alone: a video stays on its side when rows are added, or folders moved.
    """
    names = (Path(clip.path).name for clip in task.clips)
    return any(derive_seed("held out", name) / 2**63 < share for name in names)


class Intake:
    """Rows taken in so far: what became tasks, and what did not."""

    def __init__(self, shape: RowShape, videos: VideoFolder, missing: Treatment, bad: Treatment) -> None:
        self.shape, self.videos, self.missing, self.bad = shape, videos, missing, bad
        self.rows = 0
        self.ids: set[str] = set()
        self.columns: dict[str, None] = {}  # in the order in which they came up
        self.left_out: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._kinds: Counter[tuple[str, str]] = Counter()
        self._seconds: dict[str, float | None] = {}

    def take(self, row: Row, name: str) -> list[Task]:
        """The tasks of a row; none if it is left out."""
        self.rows += 1
        self.columns |= dict.fromkeys(row.values)
        try:
            made = list(tasks_of(row.values, self.shape, self.videos, self.shape.name or name, self.rows))
            again = next((task.id for task in made if task.id in self.ids), None)
            if again is not None:
                column = self.shape.id or "number"
                raise BadRow("duplicate id", f"{column}: {again} came before; shape.id null numbers the rows")
        except BadRow as problem:
            self._refuse(row, problem)
            return []
        for task in made:
            self._count(task)
        return made

    def report(self) -> str:
        """Tasks by source and kind of answer, videos and hours, and what was left out."""
        lines = [[source or "(no source)", kind, str(count)] for (source, kind), count in self._kinds.items()]
        said = [aligned(("source", "answer", "tasks"), sorted(lines))]
        known = [seconds for seconds in self._seconds.values() if seconds is not None]
        hours = f", {sum(known) / 3600:.1f} hours" if known else ", of unknown length"
        part = f" ({len(known)} of known length)" if 0 < len(known) < len(self._seconds) else ""
        said.append(f"{len(self._seconds)} videos{hours}{part}")
        if self.left_out:
            said.append(f"{self.left_out.total()} rows left out: {counted(self.left_out.elements())}")
            said += [f"  {cause}, for example {first}" for cause, first in self._first.items()]
        return "\n".join(said)

    def _refuse(self, row: Row, problem: BadRow) -> None:
        lost = problem.cause == MISSING
        if (self.missing if lost else self.bad) == "refuse":
            word = "--missing skip" if lost else "--bad skip"
            raise UsageError(f"{row.place}: {problem.detail} ({word} leaves such rows out)") from None
        self.left_out[problem.cause] += 1
        self._first.setdefault(problem.cause, f"{row.place}: {problem.detail}")

    def _count(self, task: Task) -> None:
        self.ids.add(task.id)
        self._kinds[task.source, task.answer.kind if task.answer else "unknown"] += 1
        for clip in task.clips:
            self._seconds[clip.path] = task.extra.get("duration", self._seconds.get(clip.path))
