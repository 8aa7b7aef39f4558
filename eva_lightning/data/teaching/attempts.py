"""The files of a collection: what is kept, and beside it what was dropped and why.

Both count as done, so a resumed run makes neither again; only what a fault ended is made again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from eva_lightning.agent.rollout import Job
from eva_lightning.data.teaching.filters import DropCause, Dropped
from eva_lightning.faults import UsageError
from eva_lightning.files.settings_file import settle
from eva_lightning.files.store import Appender, located, portable, read, repair, write
from eva_lightning.records import Trajectory

Entry = TypeVar("Entry", Trajectory, Dropped)

AttemptKey = tuple[str, int]
"""Task and number of the attempt."""


def dropped_beside(out: Path) -> Path:
    """Where the attempts lie that were not kept in `out`."""
    return out.with_suffix(".dropped.jsonl")


class Attempts:
    """Takes up what is there, and appends each attempt as it finishes."""

    def __init__(self, out: str | Path, jobs: Sequence[Job]) -> None:
        self.out = Path(out)
        self._root = self.out.parent
        self.beside = dropped_beside(self.out)
        self.cost = self.out.with_suffix(".cost.json")
        self.settings = self.out.with_suffix(".settings.json")
        self.quarantine = self.out.with_suffix(".quarantine.jsonl")
        self._jobs = jobs
        wanted = {(job.task.id, job.replica): job for job in jobs}
        whole, aside = _sound(self.out, Trajectory), _sound(self.beside, Dropped)
        self.kept: dict[AttemptKey, Trajectory] = {
            _key(one): located(one, self._root) for one in whole if _key(one) in wanted
        }
        self.dropped: dict[AttemptKey, Trajectory] = {}
        self.causes: Counter[DropCause] = Counter()
        for row in aside:
            if _key(row.trajectory) in wanted and _key(row.trajectory) not in self.kept:
                self.dropped[_key(row.trajectory)] = located(row.trajectory, self._root)
                self.causes[row.cause] += 1
        for key, one in self.done.items():
            self._refuse_another(one, wanted[key])
        self._files: dict[Path, Appender] = {}

    @property
    def done(self) -> dict[AttemptKey, Trajectory]:
        """What need not be made again."""
        return {**self.kept, **self.dropped}

    @property
    def left(self) -> list[Job]:
        """What is still to be made, in the order of the jobs."""
        done = self.done
        return [job for job in self._jobs if (job.task.id, job.replica) not in done]

    def settle(self, settings: Mapping[str, Any], if_known: Collection[str] = ()) -> None:
        """UsageError if what is there was made with other settings; see `settings_file.settle`."""
        if not self.done:
            self.settings.unlink(missing_ok=True)
        what = f"{self.out} holds attempts made"
        settle(self.settings, settings, what, "give another --out", if_known=if_known)

    def keep(self, one: Trajectory) -> None:
        self._append(self.out, portable(one, self._root))

    def drop(self, one: Trajectory, cause: DropCause, reason: str) -> None:
        """Write an attempt to the file beside."""
        self.causes[cause] += 1
        self._append(self.beside, Dropped(cause=cause, reason=reason, trajectory=portable(one, self._root)))

    def __enter__(self) -> Attempts:
        self._files[self.out] = Appender(self.out)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _append(self, path: Path, row: Trajectory | Dropped) -> None:
        if path not in self._files:
            self._files[path] = Appender(path)
        self._files[path].append(row)

    def _refuse_another(self, one: Trajectory, job: Job) -> None:
        """UsageError if an attempt is not the one that is wanted, though it has its name."""
        what = f"{self.out}: attempt {one.replica} at task {one.task.id!r} was made"
        if one.seed != job.seed:
            raise UsageError(f"{what} with another --seed; give that seed, or another --out")
        if (one.task.text, one.task.answer) != (job.task.text, job.task.answer):
            raise UsageError(f"{what} when the task had another question or gold answer; give another --out")


def _key(one: Trajectory) -> AttemptKey:
    return one.task.id, one.replica


def _sound(path: Path, cls: type[Entry]) -> list[Entry]:
    """The rows of a file. Attempts that a fault ended leave it: they are made again."""
    repair(path)
    rows = read(path, cls) if path.exists() else []
    sound = [row for row in rows if _trajectory(row).stop != "fault"]
    if len(sound) < len(rows):
        write(path, sound)
    return sound


def _trajectory(row: Trajectory | Dropped) -> Trajectory:
    return row.trajectory if isinstance(row, Dropped) else row
