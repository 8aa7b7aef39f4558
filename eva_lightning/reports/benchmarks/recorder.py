"""Answers on disk as they come, so that an interrupted evaluation goes on where it stopped.

A folder holds one evaluation of one policy: `trajectories.jsonl` (what the agent lived, for `eva view`) and
`results.jsonl` (a small row a question). The first is the truth, the second is made again from it if a crash
tore them apart. Every rank writes its own pair; the first takes up those of all, because there may have been
more ranks before; whoever reads, reads all of them. Nothing stays in memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from eva_lightning.files import store
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.settings_file import settle
from eva_lightning.records import Trajectory
from eva_lightning.reports.benchmarks.predictions import Predictions, write_predictions
from eva_lightning.reports.benchmarks.result import Result, result_of

SETTINGS = "settings.json"


class Recorder:
    """Writes what one rank answers, and knows what all of them have answered before."""

    def __init__(self, folder: str | Path, rank: int = 0, *, root: str | Path = ".") -> None:
        """`root` is the folder of the videos: clips in it are written by relative paths."""
        self.folder, self.rank, self.root = Path(folder), rank, root
        suffix = f".rank{rank}" if rank else ""
        self.trajectories = self.folder / f"trajectories{suffix}.jsonl"
        self.results = self.folder / f"results{suffix}.jsonl"
        self._open: tuple[store.Appender, store.Appender] | None = None
        self._held = ExitStack()

    def begin(
        self,
        settings: Mapping[str, Any],
        duration: Callable[[Trajectory], float],
        *,
        fresh: bool = False,
        retry_errors: bool = False,
    ) -> None:
        """Take up what is there, or refuse it if it was made with other settings. Rank 0 first, for all.

        Args:
            settings: What makes two evaluations the same; plain JSON.
            duration: Seconds of video of a trajectory's task.
            fresh: Throw away what is there.
            retry_errors: Ask again what a fault ended.
        """
        self._duration = duration
        with ExitStack() as held:
            if self.rank == 0:
                elsewhere = "give another trainer.default_root_dir"
                held.enter_context(sole_writer(self.folder, elsewhere))
                if fresh and self.folder.exists():
                    shutil.rmtree(self.folder)
                remedy = f"begin again with --fresh, or {elsewhere}"
                settle(self.folder / SETTINGS, settings, f"{self.folder} holds answers", remedy)
                self._take_up(retry_errors)
            self._open = store.Appender(self.trajectories), store.Appender(self.results)
            self._held = held.pop_all()

    def done(self) -> set[tuple[str, int]]:
        """Task and attempt of everything that is answered, by any rank."""
        return {(one.id, one.replica) for one in self.answered()}

    def append(self, trajectory: Trajectory) -> None:
        """Keep one finished attempt."""
        assert self._open is not None, "begin first"
        trajectories, results = self._open
        trajectories.append(store.portable(trajectory, self.root))
        results.append(self._result(trajectory))

    def answered(self) -> Iterator[Result]:
        """The rows of all ranks, one at a time."""
        for file in sorted(self.folder.glob("results*.jsonl")):
            yield from store.stream(file, Result)

    def predictions(self, forms: Mapping[str, Predictions]) -> list[Path]:
        """The files of predictions, of all ranks' answers, in the order of their trajectories."""
        files = sorted(self.folder.glob("trajectories*.jsonl"))
        for name, form in forms.items():
            answered = (one for file in files for one in store.stream(file, Trajectory))
            write_predictions(self.folder / name, form, answered)
        return [self.folder / name for name in forms]

    def close(self) -> None:
        for file in self._open or ():
            file.close()
        self._open = None
        self._held.close()

    def _take_up(self, retry_errors: bool) -> None:
        """Make the files whole, and the results again from the trajectories."""
        for file in self.folder.glob("results*.jsonl"):
            file.unlink()
        for file in sorted(self.folder.glob("trajectories*.jsonl")):
            store.repair(file)
            if retry_errors:
                store.write(file, (one for one in store.stream(file, Trajectory) if one.stop != "fault"))
            results = file.with_name(file.name.replace("trajectories", "results", 1))
            store.write(results, map(self._result, self._located(file)))

    def _result(self, trajectory: Trajectory) -> Result:
        return result_of(trajectory, self._duration(trajectory))

    def _located(self, file: Path) -> Iterator[Trajectory]:
        for one in store.stream(file, Trajectory):
            yield store.located(one, self.root)
