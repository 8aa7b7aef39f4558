"""The base of the three stages' data: training records in resumable batches, evaluation tasks in file order.

No model, no tensors.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Generic

import lightning
from lightning.pytorch.trainer.states import TrainerFn

from eva_lightning.datamodules.record_loader import Batch, Pool, Record, RecordLoader
from eva_lightning.datamodules.sources import Source, Sources, as_sources, read_tasks
from eva_lightning.faults import UsageError
from eva_lightning.records import Task


class RecordData(lightning.LightningDataModule, Generic[Record]):
    """Serves batches of records; a stage says which and how they are read."""

    key: Callable[[Record], Hashable] | None = None
    """Records of one key do not fill a rank's share of a batch alone, where the data allow; None does not
    care."""

    def __init__(
        self,
        sources: Sources | None,
        batch_size: int,
        eval_tasks: Sources | None,
        eval_limit: int | None,
        eval_batch_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        if eval_limit is not None and eval_limit < 1:
            raise UsageError(f"data.eval_limit is {eval_limit}: want 1 or more, or null for all")
        self.sources = [] if sources is None else as_sources(sources)
        self.batch_size = batch_size
        self.eval_sources = [] if eval_tasks is None else as_sources(eval_tasks)
        self.eval_limit = eval_limit
        self.eval_batch_size = eval_batch_size
        self.seed = seed
        self.questions: list[Task] = []
        self.loader: RecordLoader[Record] | None = None
        self._pools: list[Pool[Record]] = []
        self._counts = Counter[str]()
        self._resume: dict[str, Any] | None = None

    @abstractmethod
    def read(self, source: Source) -> list[Record]:
        """The records of one source that are worth training on."""

    def setup(self, stage: str) -> None:
        """Read what this stage of the Trainer needs."""
        if stage == TrainerFn.FITTING and not self._pools:
            if not self.sources:
                raise UsageError("there is nothing to train on: name the data files in the config")
            read = [self.read(source) for source in self.sources]
            self._pools = _as_pools(self.sources, read)
            for source, records in zip(self.sources, read, strict=True):
                self._counts[source.path] += len(records)
        if not self.questions:
            listed = [task for source in self.eval_sources for task in read_tasks(source, "held_out.jsonl")]
            self.questions = listed[: self.eval_limit]

    def counts(self) -> dict[str, int]:
        """Records that are trained on, by the file or folder they come from."""
        return dict(self._counts)

    def train_dataloader(self) -> RecordLoader[Record]:
        """The same loader however often Lightning asks: it goes on where it was."""
        if self.loader is None:
            self.loader = RecordLoader(
                self._pools,
                self.batch_size,
                seed=self.seed,
                rank=self._rank,
                ranks=self._ranks,
                key=type(self).key,
                under_way=self._under_way,
            )
            if self._resume is not None:
                self.loader.load_state_dict(self._resume)
        return self.loader

    def val_dataloader(self) -> InOrder | list[InOrder]:
        """The evaluation tasks; none if there are none."""
        return self._in_order() if self.questions else []

    def test_dataloader(self) -> InOrder:
        """The same tasks as in validation, so that both numbers mean the same."""
        if not self.questions:
            raise UsageError("there is nothing to test on: give --data.eval_tasks a file of tasks")
        return self._in_order()

    # Lightning 2.6 saves and restores a loader's own state, but forgets to restore it if the module has
    # asked for `trainer.estimated_stepping_batches` (a schedule does): the loader is then made before the
    # checkpoint is read. So the state travels here as well, and reaches the loader whether it is there or
    # not.

    def state_dict(self) -> dict[str, Any]:
        return {} if self.loader is None else {"train": self.loader.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._resume = state_dict.get("train")
        if self.loader is not None and self._resume is not None:
            self.loader.load_state_dict(self._resume)

    def _in_order(self) -> InOrder:
        return InOrder(self.questions, self.eval_batch_size, self._rank, self._ranks)

    def _under_way(self) -> bool:
        """Whether the batch served last has not been trained on to its end.

        A run that failed saves then, too.
        """
        if self.trainer is None:
            return False
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return bool(progress.ready > progress.processed)

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0

    @property
    def _ranks(self) -> int:
        return self.trainer.world_size if self.trainer else 1


class InOrder:
    """Tasks in file order, none twice, over all ranks.

    Every rank has equally many batches; the shares of the last one may differ by a task, and be empty.
    """

    def __init__(self, tasks: Sequence[Task], batch_size: int, rank: int = 0, ranks: int = 1) -> None:
        if batch_size < 1:
            raise UsageError(f"eval_batch_size is {batch_size}: want 1 or more")
        self.tasks, self.batch_size, self.rank, self.ranks = tasks, batch_size, rank, ranks

    def __len__(self) -> int:
        return -(-len(self.tasks) // self.batch_size)

    def __iter__(self) -> Iterator[Batch[Task]]:
        for begin in range(0, len(self.tasks), self.batch_size):
            yield Batch(self.tasks[begin : begin + self.batch_size][self.rank :: self.ranks])


def _as_pools(sources: Sequence[Source], read: Sequence[list[Record]]) -> list[Pool[Record]]:
    """A pool for each weighted source; without weights one for all of them together."""
    if sources[0].weight is None:
        name = ", ".join(source.path for source in sources)
        return [Pool(name=name, records=[record for records in read for record in records])]
    return [
        Pool(name=source.path, records=records, weight=float(source.weight or 0))
        for source, records in zip(sources, read, strict=True)
    ]
