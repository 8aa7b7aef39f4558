"""A benchmark in a few lines of a config: a table, the shape of its rows, its videos, published numbers.

There is no code per benchmark: whoever has rows of any shape adds a config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from eva_lightning.data.intake.cells import cell
from eva_lightning.data.intake.intake import BrokenRow, Intake
from eva_lightning.data.intake.row import Table
from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.data.intake.tables import every_row_of
from eva_lightning.data.intake.video_folder import VideoFolder
from eva_lightning.faults import UsageError
from eva_lightning.records import Task
from eva_lightning.reports.benchmarks.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class Published:
    """What somebody reported for this benchmark, to stand beside our own row."""

    accuracy: float | None = None
    """Percent; None where none was reported."""
    timed: Mapping[str, float] = field(default_factory=dict)
    """Percent of measures of times, by our names for them: overlap (mIoU), overlap>=0.5 (R@0.5) and so on."""
    rounds: float | None = None
    """Messages of the model, mean."""
    total_tokens: float | None = None
    """Tokens of the whole conversation, mean."""
    source: str = ""
    """Where it was reported, with the version where versions differ."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Questions with gold answers, and what others made of them."""

    name: str
    """Name in tables and in the ids of tasks, which are its own whatever `shape` says of a source."""
    file: str
    """File of its rows: JSONL, JSON, CSV, TSV, Parquet, or a folder or id of `datasets`."""
    videos: str
    """Folder of its videos. A row's path is taken as it is if it lies in this folder, else its longest tail
    that exists there."""
    allow_outside: bool = False
    """Whether a row may name a video elsewhere, by its whole path or by way of a link in that folder."""
    shape: RowShape = field(default_factory=RowShape)
    """Which column says what. With `keep_wording` it is asked in the words of its rows, as published numbers
    were measured."""
    table: Table = field(default_factory=Table)
    """What must be known of the file beside its path."""
    predictions: dict[str, Predictions] = field(default_factory=dict)
    """Files to write beside the results, by name, for the scorers of others: what each says of a question."""
    published: dict[str, Published] = field(default_factory=dict)
    """Rows of others, by the name of their system."""
    published_settings: str = "12,000 visual tokens a call, temperature 0, 6 turns"
    """What must agree for the rows to be comparable."""


def read_benchmark(benchmark: Benchmark) -> tuple[list[Task], list[BrokenRow]]:
    """The tasks of a benchmark in the order of its file, and the rows that can not be asked."""
    shape = replace(benchmark.shape, name=benchmark.name, source=None)
    if shape.answer is None and shape.conversations is None:
        raise UsageError(
            f"{benchmark.name}: shape.answer is null; a benchmark needs the column of its answers"
        )
    intake, tasks = Intake(shape, VideoFolder(benchmark.videos, benchmark.allow_outside)), list[Task]()
    try:
        for row in every_row_of(benchmark.file, benchmark.table):
            for task in intake.take(row, benchmark.name):
                index = row.number if shape.id is None else cell(row.values, shape.id)
                index = index if isinstance(index, (int, str)) else str(index)
                tasks.append(replace(task, extra={"index": index, **task.extra}))
    except UsageError as problem:
        raise UsageError(f"{benchmark.name}: {problem}") from None
    return tasks, intake.broken
