"""Sources of records: JSONL files, or folders that a command wrote.

Reading only; order and batches are elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from eva_lightning.data.intake.clip_paths import refuse_strays
from eva_lightning.faults import UsageError
from eva_lightning.files.store import located, read
from eva_lightning.policy.shared_ids import share_ids
from eva_lightning.records import Task, Trajectory

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file of tasks or trajectories."""

    path: str
    """A JSONL file, or a folder that holds one under its usual name (tasks.jsonl, held_out.jsonl,
    oracle.jsonl, feedback.jsonl)."""
    weight: float | None = None
    """Share of the records served, relative to the weights of the other sources. None on all of them: all
    files are shuffled together, and each record is served once an epoch."""
    limit: int | None = None
    """Take so many records from the top of the file; None takes all."""
    video_root: str | None = None
    """Folder from which relative clip paths count, and which no clip may leave (by .., a whole path or a
    link). None is the folder of the file, and clips may lie anywhere: name the folder for files of
    strangers."""
    allow_outside: bool = False
    """Whether clips may leave `video_root` all the same."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"{self.path}: limit is {self.limit}; want 1 or more, or None for all")


Sources = str | Source | list[str | Source]
"""One path, or several, with or without settings."""


def as_sources(sources: Sources) -> list[Source]:
    """What a config may say, in one form."""
    several = sources if isinstance(sources, list) else [sources]
    listed = [Source(path=one) if isinstance(one, str) else one for one in several]
    if not listed:
        raise UsageError("the list of data files is empty; name at least one")
    weighted = [source for source in listed if source.weight is not None]
    if weighted and len(weighted) < len(listed):
        bare = next(source for source in listed if source.weight is None)
        raise UsageError(f"{bare.path}: has no weight, but other sources have; give all of them one, or none")
    return listed


def read_tasks(source: Source, usual: str = "tasks.jsonl") -> list[Task]:
    """The tasks of a source, with clip paths that work from here. `usual` is the file meant by a folder."""
    path = _file(source, usual)
    tasks = _some(read(path, Task)[: source.limit], path)
    refuse_strays(tasks, path, source.video_root, source.allow_outside)
    return [located(task, _root(source, path)) for task in tasks]


def read_trajectories(source: Source, usual: str) -> list[Trajectory]:
    """The trajectories of a source, with clip paths that work from here."""
    path = _file(source, usual)
    made = _some(read(path, Trajectory)[: source.limit], path)
    refuse_strays((one.task for one in made), path, source.video_root, source.allow_outside)
    return [share_ids(located(one, _root(source, path))) for one in made]


def _file(source: Source, usual: str) -> Path:
    path = Path(source.path)
    return path / usual if path.is_dir() else path


def _root(source: Source, path: Path) -> Path:
    return path.parent if source.video_root is None else Path(source.video_root)


def _some(records: list[T], path: Path) -> list[T]:
    if not records:
        raise UsageError(f"{path}: holds no records; write it again, or leave it out")
    return records
