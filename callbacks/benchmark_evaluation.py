"""Benchmarks answered, written down as they are answered, and told: in `eva test`, and now and then in a fit.

What a row means is in `eva_lightning.reports.benchmarks`; who answers is the module. An interrupted
evaluation goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lightning.pytorch import Callback, Trainer
from tqdm import tqdm

from eva_lightning.data.intake.intake import BrokenRow
from eva_lightning.faults import UsageError
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.benchmarks.benchmark import Benchmark, read_benchmark
from eva_lightning.reports.benchmarks.recorder import Recorder
from eva_lightning.reports.benchmarks.tables import measures, report

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule


@runtime_checkable
class BenchmarkedData(Protocol):
    """Data whose test questions are those of benchmarks."""

    benchmarks: list[Benchmark]
    """What is asked."""
    broken: dict[str, list[BrokenRow]]
    """Rows that could not be read, by the name of their benchmark."""


class BenchmarkEvaluation(Callback):
    """Answers benchmarks, in `eva test` or now and then in a fit, and writes the answers down.

    They land in `<default_root_dir>/benchmarks/<name>/`: trajectories.jsonl (for `eva view`), results.jsonl
    (a row a question), report.txt, and the files of predictions that a benchmark names for others' scorers.

    In `eva test` the questions are those of BenchmarkData. In a fit they are `limit` of each of `benchmarks`,
    the same ones each time, in `benchmarks/iteration-000050/<name>/`; the means are logged as
    `bench/<name>/accuracy` and so on. Several ranks share the questions. Only `eva test` takes up answers
    that are there: in a fit they may be those of an earlier run.
    """

    def __init__(
        self,
        benchmarks: list[Benchmark] | None = None,
        every: int = 50,
        limit: int = 100,
        fresh: bool = False,
        retry_errors: bool = False,
    ) -> None:
        """
        Args:
            benchmarks: What to ask during a fit; None asks nothing then. `eva test` asks what the data name.
            every: Iterations between two evaluations in a fit.
            limit: Questions of each benchmark in a fit, spread evenly over its file.
            fresh: Throw away the answers that are there, and begin again (eva test --fresh).
            retry_errors: Ask again what a fault of ours ended (eva test --retry-errors).
        """
        if every < 1 or limit < 1:
            raise UsageError(f"BenchmarkEvaluation: every is {every} and limit is {limit}; want 1 or more")
        self.benchmarks = benchmarks or []
        self.every = every
        self.limit = limit
        self.fresh = fresh
        self.retry_errors = retry_errors
        self._asked: tuple[list[Task], dict[str, list[BrokenRow]]] | None = None

    def setup(self, trainer: Trainer, pl_module: PolicyModule, stage: str) -> None:  # type: ignore[override]
        data = getattr(trainer, "datamodule", None)
        if stage == "test" and isinstance(data, BenchmarkedData):
            pl_module.tested_by(partial(self._test, trainer, pl_module, data))
        else:
            pl_module.tested_by(None)

    def on_fit_start(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        """Read the questions now: a missing file is not found out after fifty iterations."""
        if self.benchmarks and self._asked is None:
            read = {one.name: read_benchmark(one) for one in self.benchmarks}
            tasks = [task for asked, _ in read.values() for task in evenly(asked, self.limit)]
            self._asked = tasks, {name: broken for name, (_, broken) in read.items()}

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._asked is None or pl_module.iteration % self.every:
            return
        tasks, broken = self._asked
        root = _root(trainer) / f"iteration-{pl_module.iteration:06d}"
        mine = tasks[trainer.global_rank :: trainer.world_size]
        told = self._answer(trainer, pl_module, self.benchmarks, mine, broken, root, fitting=True)
        pl_module.log_dict(told, logger=False, batch_size=1, rank_zero_only=True)
        for logger in trainer.loggers:  # Lightning would repeat the numbers in every step until the next ones
            logger.log_metrics(told, trainer.fit_loop.epoch_loop._batches_that_stepped)

    def _test(
        self, trainer: Trainer, module: PolicyModule, data: BenchmarkedData, tasks: Sequence[Task]
    ) -> None:
        told = self._answer(trainer, module, data.benchmarks, tasks, data.broken, _root(trainer))
        module.log_dict(told, batch_size=1, rank_zero_only=True)

    def _answer(
        self,
        trainer: Trainer,
        module: PolicyModule,
        benchmarks: Sequence[Benchmark],
        tasks: Sequence[Task],
        broken: dict[str, list[BrokenRow]],
        root: Path,
        fitting: bool = False,
    ) -> dict[str, float]:
        """Ask what is not answered yet; then all that is to be said of all answers, and its numbers."""
        recorders = {
            one.name: Recorder(root / one.name, trainer.global_rank, root=one.videos) for one in benchmarks
        }
        with ExitStack() as stack:
            for benchmark in benchmarks:
                recorder = recorders[benchmark.name]
                stack.callback(recorder.close)
                self._begin(trainer, module, benchmark, recorder, fresh=self.fresh or fitting)
            trainer.strategy.barrier("BenchmarkEvaluation.begin")  # all files are whole before they are read
            done = {one for recorder in recorders.values() for one in recorder.done()}
            attempts = module.evaluation.attempts
            already = sum((task.id, attempt) in done for task in tasks for attempt in range(attempts))
            bar = stack.enter_context(
                tqdm(
                    total=len(tasks) * attempts,
                    initial=already,
                    desc="questions",
                    disable=fitting or not trainer.is_global_zero or trainer.progress_bar_callback is None,
                )
            )

            def keep(trajectory: Trajectory) -> None:
                recorders[trajectory.task.source].append(trajectory)
                bar.update()

            module.answer_all(tasks, done=done, on_finish=keep)
        trainer.strategy.barrier("BenchmarkEvaluation.end")
        return self._tell(trainer, benchmarks, recorders, broken, quiet=fitting)

    def _begin(
        self, trainer: Trainer, module: PolicyModule, benchmark: Benchmark, recorder: Recorder, fresh: bool
    ) -> None:
        """Rank 0 first: it takes up what all of them have written."""
        settings, seconds = _settings(module, benchmark), partial(_duration, module)
        if trainer.is_global_zero:
            recorder.begin(settings, seconds, fresh=fresh, retry_errors=self.retry_errors)
        trainer.strategy.barrier("BenchmarkEvaluation.rank0")
        if not trainer.is_global_zero:
            recorder.begin(settings, seconds)

    def _tell(
        self,
        trainer: Trainer,
        benchmarks: Sequence[Benchmark],
        recorders: dict[str, Recorder],
        broken: dict[str, list[BrokenRow]],
        quiet: bool,
    ) -> dict[str, float]:
        numbers: dict[str, float] = {}
        for benchmark in benchmarks:
            recorder = recorders[benchmark.name]
            found = measures(recorder.answered())
            numbers |= {f"bench/{benchmark.name}/{name}": value for name, value in found.items()}
            if trainer.is_global_zero:
                text = report(benchmark, recorder.answered(), broken[benchmark.name])
                (recorder.folder / "report.txt").write_text(text + "\n")
                written = recorder.predictions(benchmark.predictions)
                if not quiet:
                    page = f"eva view {recorder.trajectories} --videos {benchmark.videos}"
                    print(f"\n{text}\n\nlook at them: {page}")
                    for file in written:
                        print(f"for its own scorer: {file}")
        return numbers


def evenly(tasks: Sequence[Task], count: int) -> list[Task]:
    """`count` of them, spread over the whole; all if there are no more.

    >>> evenly([10, 11, 12, 13, 14, 15], 3)
    [10, 12, 14]
    """
    if count >= len(tasks):
        return list(tasks)
    return [tasks[i * len(tasks) // count] for i in range(count)]


def _root(trainer: Trainer) -> Path:
    return Path(trainer.default_root_dir) / "benchmarks"


def _duration(module: PolicyModule, trajectory: Trajectory) -> float:
    """Seconds of video of a question; 0 where its file can not be read."""
    if trajectory.stop == "fault":
        return 0.0
    return sum(module.world.describe(clip).duration for clip in trajectory.task.clips)


def _settings(module: PolicyModule, benchmark: Benchmark) -> dict[str, Any]:
    """What makes two evaluations the same."""
    how = module.evaluation
    return {
        "policy": module.policy_config.path,
        "revision": module.policy_config.revision,
        "checkpoint": None if module.trainer.ckpt_path is None else str(module.trainer.ckpt_path),
        "iteration": module.iteration,
        "file": Path(benchmark.file).name,
        "temperature": how.temperature,
        "attempts": how.attempts,
        "seed": how.seed,
        "limits": asdict(module.limits),
        "dialect": _described(module.dialect),
        "tools": [_described(tool) for tool in module.tools],
        "overview": None if module.overview is None else asdict(module.overview),
    } | ({"proxies": module.world.proxies} if module.world.proxies else {})


def _described(part: Any) -> str:
    plain = {name: value for name, value in sorted(vars(part).items()) if not name.startswith("_")}
    return f"{type(part).__name__}({', '.join(f'{name}={value!r}' for name, value in plain.items())})"
