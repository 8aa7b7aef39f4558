"""Tasks to act on: the questions of GRPO, and of evaluation alone.

Who answers them is the module's business.
"""

from __future__ import annotations

from collections.abc import Sequence

from eva_lightning.datamodules.base import RecordData
from eva_lightning.datamodules.record_loader import Pool
from eva_lightning.datamodules.sources import Source, Sources, read_tasks
from eva_lightning.faults import UsageError
from eva_lightning.records import Task

MINED = "mined tasks"
"""Name of the pool that grows by what is mined."""


class TaskData(RecordData[Task]):
    """Questions in batches; the module makes a group of trajectories of each.

    More can be added while it trains.
    """

    def __init__(
        self,
        tasks: Sources | None = None,
        batch_size: int = 64,
        eval_tasks: Sources | None = None,
        eval_limit: int | None = None,
        eval_batch_size: int = 256,
        seed: int = 0,
    ) -> None:
        """
        Args:
            tasks: JSONL files of tasks to train on, mixed by their weights if they have any (for example
                0.9 open and 0.1 multiple choice); a folder stands for its tasks.jsonl; None if only
                evaluated.
            batch_size: Tasks in an iteration, over all ranks; each brings a group of trajectories.
            eval_tasks: JSONL files of the tasks of validation and test; a folder stands for its
                held_out.jsonl; None evaluates nothing.
            eval_limit: Take so many of them from the top; None takes all.
            eval_batch_size: Tasks that are under way at once in validation, over all ranks.
            seed: Dice of the shuffle.
        """
        super().__init__(tasks, batch_size, eval_tasks, eval_limit, eval_batch_size, seed)

    def read(self, source: Source) -> list[Task]:
        tasks = read_tasks(source)
        for task in tasks:
            if task.answer is None:
                raise UsageError(f"{source.path}: task {task.id!r} has no answer to reward; leave it out")
        return tasks

    def setup(self, stage: str) -> None:
        super().setup(stage)
        seen: set[str] = set()
        for task in (task for pool in self._pools for task in pool.records):
            if task.id in seen:  # two questions of one name would be taken for one group
                files = ", ".join(source.path for source in self.sources)
                raise UsageError(f"{files}: two tasks have the id {task.id!r}; give every task its own")
            seen.add(task.id)

    def expect_mined(self, share: float) -> None:
        """Keep a share of every batch for tasks that are mined on the way.

        Until there are any, nothing changes.
        """
        if not 0 < share < 1:
            raise UsageError(f"the share of mined tasks is {share:g}; want more than 0 and less than 1")
        told = [pool for pool in self._pools if not pool.grows]
        weight = sum(pool.weight for pool in told) * share / (1 - share)
        mined = Pool[Task](name=MINED, records=[], weight=weight, grows=True)
        if self.loader is not None and mined not in self._pools:
            raise RuntimeError("mined tasks are expected before the first batch is served, not after it")
        self._pools = [*told, mined]

    def add_mined(self, tasks: Sequence[Task], later: int = 0) -> None:
        """Add mined tasks, `later` batches after the next one; as `add_tasks`, but as a pool of their own."""
        known = {task.id for task in self.known_tasks()}
        again = [task.id for task in tasks if task.id in known]
        if again or len({task.id for task in tasks}) < len(tasks):
            raise ValueError(
                f"mined tasks need ids of their own; {', '.join(again) or 'two of them are equal'}"
            )
        if self.loader is None or not self._pools[-1].grows:
            raise RuntimeError("mined tasks are added while a Trainer runs, and once they are expected")
        self.loader.add(tasks, len(self._pools) - 1, later)

    def known_tasks(self) -> list[Task]:
        """All that is trained on, or asked in validation: what a new task must differ from."""
        trained = [task for pool in self._pools for task in pool.records]
        return (trained if self.loader is None else self.loader.everything()) + self.questions

    def add_tasks(self, tasks: Sequence[Task], source: int = 0) -> None:
        """Mix new tasks into what is left of the pass over a source, from the next batch on.

        They are kept in the checkpoint. An epoch stays as long as it was. Every rank must add the same
        tasks after the same batch.
        """
        if self.loader is None:
            raise RuntimeError("tasks are added while a Trainer runs, not before")
        self.loader.add(tasks, source)
