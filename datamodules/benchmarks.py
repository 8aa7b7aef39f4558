"""Questions of published benchmarks, to be answered and counted.

Nothing to train on, and no answers here: what is told of them is the callback `BenchmarkEvaluation`'s
business.
"""

from __future__ import annotations

from lightning.pytorch.trainer.states import TrainerFn

from eva_lightning.data.intake.intake import BrokenRow
from eva_lightning.datamodules.base import RecordData
from eva_lightning.datamodules.sources import Source
from eva_lightning.faults import UsageError
from eva_lightning.records import Task
from eva_lightning.reports.benchmarks.benchmark import Benchmark, read_benchmark


class BenchmarkData(RecordData[Task]):
    """Tables of questions of whatever shape, for `eva test`."""

    def __init__(self, benchmarks: list[Benchmark], limit: int | None = None) -> None:
        """
        Args:
            benchmarks: What to ask. Names must differ.
            limit: Take so many questions from the top of each; None takes all.
        """
        if len({one.name for one in benchmarks}) != len(benchmarks) or not benchmarks:
            raise UsageError("benchmarks: want one or more, each with its own name")
        if limit is not None and limit < 1:
            raise UsageError(f"limit is {limit}: want 1 or more questions")
        super().__init__(None, 1, None, None, 1, 0)
        self.benchmarks = benchmarks
        self.limit = limit
        self.broken: dict[str, list[BrokenRow]] = {}

    def read(self, source: Source) -> list[Task]:
        raise UsageError("benchmarks are not trained on: name another datamodule")

    def setup(self, stage: str) -> None:
        if stage == TrainerFn.FITTING:
            raise UsageError("benchmarks are not trained on: use `eva test`, or BenchmarkEvaluation in a fit")
        if self.questions:
            return
        for benchmark in self.benchmarks:
            tasks, self.broken[benchmark.name] = read_benchmark(benchmark)
            if not tasks:
                broken = self.broken[benchmark.name]
                first = f"the first is {broken[0].place}: {broken[0].detail}" if broken else "there is none"
                raise UsageError(
                    f"{benchmark.name}: none of the rows of {benchmark.file} can be asked; {first}"
                )
            self.questions += tasks[: self.limit]
        self.eval_batch_size = len(self.questions)  # all at once: nobody waits for the last one of a batch
