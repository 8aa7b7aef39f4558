"""Trajectories marked good or bad, for KTO.

The marks were set before (`eva label`); nothing is judged here.
"""

from __future__ import annotations

from eva_lightning.datamodules.base import RecordData
from eva_lightning.datamodules.sources import Source, Sources, read_trajectories
from eva_lightning.faults import UsageError
from eva_lightning.records import Trajectory


class FeedbackData(RecordData[Trajectory]):
    """Good and bad trajectories, shuffled together.

    A rank's share of a batch holds at least two tasks where it can: KTO's reference point puts what was
    written for one question under another.
    """

    @staticmethod
    def key(record: Trajectory) -> str:
        return record.task.id

    def __init__(
        self,
        trajectories: Sources,
        batch_size: int = 16,
        eval_tasks: Sources | None = None,
        eval_limit: int | None = None,
        eval_batch_size: int = 256,
        seed: int = 0,
    ) -> None:
        """
        Args:
            trajectories: JSONL files of marked trajectories; a folder stands for its feedback.jsonl.
            batch_size: Trajectories in an optimizer step, over all ranks; two or more a rank, so that two
                questions meet.
            eval_tasks: JSONL files of the tasks of validation and test; a folder stands for its
                held_out.jsonl; None evaluates nothing.
            eval_limit: Take so many of them from the top; None takes all.
            eval_batch_size: Tasks that are under way at once in validation, over all ranks.
            seed: Dice of the shuffle.
        """
        super().__init__(trajectories, batch_size, eval_tasks, eval_limit, eval_batch_size, seed)

    def read(self, source: Source) -> list[Trajectory]:
        made = [one for one in read_trajectories(source, "feedback.jsonl") if one.stop != "fault"]
        for one in made:
            if one.desirable is None:
                raise UsageError(
                    f"{source.path}: attempt {one.replica} at task {one.task.id!r} is marked neither good "
                    f"nor bad; mark the file first: eva label --trajectories {source.path} --out FILE"
                )
        return made

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if not self._pools:
            return
        good, bad = self.n_desirable, self.n_undesirable
        if not good or not bad:
            files = ", ".join(source.path for source in self.sources)
            raise UsageError(f"{files}: {good:g} good and {bad:g} bad trajectories; KTO needs both")

    @property
    def n_desirable(self) -> float:
        """Good trajectories in what is served of as many as there are; 0 before `setup`."""
        return self._marked(True)

    @property
    def n_undesirable(self) -> float:
        """Bad ones, likewise."""
        return self._marked(False)

    def _marked(self, mark: bool) -> float:
        """How many of an epoch's records have a mark: sources with weights are not served by their size."""
        counts = [sum(one.desirable is mark for one in pool.records) for pool in self._pools]
        if len(counts) < 2:
            return sum(counts)
        served = sum(len(pool.records) for pool in self._pools) / sum(pool.weight for pool in self._pools)
        shares = zip(counts, self._pools, strict=True)
        return served * sum(pool.weight * count / len(pool.records) for count, pool in shares)
