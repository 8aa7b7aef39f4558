"""The file of tasks that `eva collect` attempts and `eva sift` thins out: where it is, and what is in it.

It does not say which tasks are good.
"""

from __future__ import annotations

from pathlib import Path

from eva_lightning.data.intake.clip_paths import refuse_strays
from eva_lightning.data.synthesis.world import TASKS
from eva_lightning.faults import UsageError
from eva_lightning.files.store import located, read
from eva_lightning.records import Task


def task_file(given: str) -> Path:
    """A folder of the embedded world stands for its tasks.jsonl."""
    return Path(given) / TASKS if Path(given).is_dir() else Path(given)


def read_tasks(
    file: Path, video_root: str | None = None, limit: int | None = None, allow_outside: bool = False
) -> list[Task]:
    """The first `limit` tasks, with clip paths that work from here; UsageError if there is none.

    No clip leaves a `video_root` unless it may.
    """
    tasks = read(file, Task)[:limit]
    if not tasks:
        raise UsageError(f"{file}: holds no tasks; write it again, or name another file")
    refuse_strays(tasks, file, video_root, allow_outside)
    root = file.parent if video_root is None else Path(video_root)
    return [located(task, root) for task in tasks]
