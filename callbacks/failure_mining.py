"""Failure mining: what the policy fails at becomes what it is asked next (data-enhanced GRPO).

When failures are taken, and when new tasks join, is said here. What a failure is, who writes tasks and which
of them are good enough is in `eva_lightning.data.mining`; how they are mixed in is the datamodule's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from eva_lightning.agent.rollout import derive_seed
from eva_lightning.data.mining.author import TaskAuthor, Written
from eva_lightning.data.mining.causes import Failure, counts_by_cause, failures_of, merged
from eva_lightning.data.mining.harvest import counts_of, harvest, write_down
from eva_lightning.data.mining.teacher_author import TeacherAuthor
from eva_lightning.data.mining.world_author import WorldAuthor
from eva_lightning.engines.background import Background
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.row_version import from_row, to_row
from eva_lightning.modules.contracts import Collecting
from eva_lightning.ranks import gathered
from eva_lightning.records import Task

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule

PATIENCE = 10.0
"""Seconds for an author to come to an end when training does."""

AUTHORS = (TeacherAuthor, WorldAuthor)
"""Those that configs may name bare."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the author is writing for."""

    iteration: int
    """After which iteration it was asked."""
    failures: tuple[Failure, ...]
    """What it is shown."""


@runtime_checkable
class GrowingData(Protocol):
    """Data whose pool of tasks grows while they are asked: TaskData."""

    def expect_mined(self, share: float) -> None:
        """Tasks will be added; this share of every batch is theirs, once there are any."""

    def known_tasks(self) -> Sequence[Task]:
        """All that may be asked, mined ones among them."""

    def add_mined(self, tasks: Sequence[Task], later: int = 0) -> None:
        """Ask these, too; from the next batch on, or so many batches later."""


class FailureMining(Callback):
    """Every few iterations an author writes new tasks of the kinds that failed; they join the pool of GRPO.

    The author works in a thread of rank 0 while training goes on. Tasks join between two iterations, after
    the same one on every rank; from then on a share of every batch is mined tasks. They and what was rejected
    are in `<default_root_dir>/mined/` (every rank must be able to read it): `iteration-000020.jsonl` and
    `iteration-000020.rejected.jsonl`, named after the iteration whose failures they answer.

    All of it is in the checkpoint: a resumed run has the pool it had, and asks again for what was being
    written. With `delay` it is the same run to the last bit; without, tasks join whenever they are ready.
    """

    def __init__(
        self,
        author: TaskAuthor,
        every: int = 20,
        count: int = 64,
        weight: float = 0.25,
        window: int | None = None,
        delay: int | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            author: Writes the tasks.
            every: Iterations between two requests; while one is being written, the next one waits.
            count: Tasks to ask for.
            weight: Share of a batch that is mined tasks, once there are any.
            window: Show the author the failures of the last so many iterations; None is all since the last
                request.
            delay: Iterations after which the tasks join; if they are not ready, training waits. None never
                waits.
            seed: Dice of the author.
        """
        if every < 1 or count < 1 or (window is not None and window < 1) or (delay is not None and delay < 0):
            raise UsageError(
                f"FailureMining: every {every}, count {count}, window {window}, delay {delay}: want 1 or "
                "more, and a delay of 0 or more"
            )
        if not 0 < weight < 1:
            raise UsageError(f"FailureMining: weight is {weight:g}; want more than 0 and less than 1")
        self.author = author
        self.every, self.count, self.weight, self.delay, self.seed = every, count, weight, delay, seed
        self.window = window
        self._recent: list[tuple[int, Failure]] = []  # (iteration, failure)
        self._asked_at = 0
        self._request: Request | None = None
        self._work: Background[Written] | None = None

    def setup(self, trainer: Trainer, pl_module: PolicyModule, stage: str) -> None:  # type: ignore[override]
        if stage != "fit":
            return
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, GrowingData) or not isinstance(pl_module, Collecting):
            raise UsageError("FailureMining: mined tasks are for GRPO: use GRPOModule with TaskData")
        data.expect_mined(self.weight)
        self._recent, self._request = [], None  # a checkpoint, read after this, may know better
        self._asked_at = pl_module.iteration

    def on_train_start(self, trainer: Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        self.author.settle(_folder(trainer), pl_module.world, pl_module.dialect)
        self.author.stopped = False
        self._refuse_missing_clips(trainer)
        if self._request is not None and self._work is None:
            self._begin(trainer, pl_module)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        failed = gathered(failures_of(pl_module.rollouts))
        oldest = self._asked_at if self.window is None else pl_module.iteration - self.window
        self._recent = [(at, failure) for at, failure in self._recent if at > oldest]
        self._recent += [(pl_module.iteration, failure) for failure in failed]
        self._join(trainer, pl_module)
        if self._request is None and pl_module.iteration - self._asked_at >= self.every:
            self._ask(trainer, pl_module)
            if self.delay == 0:
                self._join(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: PolicyModule, stage: str) -> None:  # type: ignore[override]
        self.author.stopped = True
        if self._work is not None:
            self._work.wait(PATIENCE)
            if not self._work.done:
                self.author.close()  # else the process would wait at its end for what it still asks
            self._tell_what_is_lost(self._work)
        self._work = None

    # --- what a resumed run must know -----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "recent": [[at, to_row(failure)] for at, failure in self._recent],
            "asked_at": self._asked_at,
            "request": to_row(self._request),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._recent = [(at, from_row(Failure, row)) for at, row in state_dict["recent"]]
        self._asked_at = state_dict["asked_at"]
        request = state_dict["request"]
        self._request = None if request is None else from_row(Request, request)

    # --- asking and joining ---------------------------------------------------------------------------------

    def _ask(self, trainer: Trainer, module: PolicyModule) -> None:
        """Hand the recent failures to the author; where there are none, the next iteration tries again."""
        failures = merged(failure for _, failure in self._recent)
        if not failures or module.is_last_iteration():
            return
        self._asked_at = module.iteration
        self._request = Request(iteration=module.iteration, failures=tuple(failures))
        counts = counts_by_cause(failures)
        self._log(module, {f"failed/{cause}": float(count) for cause, count in counts.items()})
        self._begin(trainer, module)

    def _begin(self, trainer: Trainer, module: PolicyModule) -> None:
        if not trainer.is_global_zero:
            return
        request, data = self._request, _data(trainer)
        assert request is not None
        pool, world = data.known_tasks(), module.world
        seed = derive_seed(self.seed, "mining", request.iteration)
        self._work = Background(
            lambda: harvest(self.author, request.failures, self.count, pool=pool, world=world, seed=seed)
        )

    def _join(self, trainer: Trainer, module: PolicyModule) -> None:
        """Add what was written, if it is due: rank 0 knows, and all ranks do the same."""
        request = self._request
        if request is None or (self.delay is not None and module.iteration - request.iteration < self.delay):
            return
        written, problem = trainer.strategy.broadcast(self._outcome())
        if problem:
            cause = None if self._work is None else self._work.problem
            raise Fault(
                f"FailureMining: the author failed: {problem}; go on with --ckpt_path last"
            ) from cause
        if written is None:
            return
        self._request = self._work = None
        if written.tasks:
            later = module.batches_ahead  # so many are on their way already
            _data(trainer).add_mined(written.tasks, later=later)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            write_down(written, _folder(trainer) / f"iteration-{request.iteration:06d}.jsonl")
        self._tell(module, request, written)

    def _outcome(self) -> tuple[Written | None, str]:
        """Of rank 0: what was written, None if it is not ready; or what went wrong."""
        if self._work is None:
            return None, ""
        self._work.wait(None if self.delay is not None else 0.0)
        if not self._work.done:
            return None, ""
        problem = self._work.problem
        if problem is not None:
            return None, f"{type(problem).__name__}: {problem}"
        return self._work.result(), ""

    def _tell(self, module: PolicyModule, request: Request, written: Written) -> None:
        why = counts_of(written.rejected)
        numbers = {"accepted": float(len(written.tasks)), "rejected": float(len(written.rejected))}
        self._log(module, numbers | {f"rejected/{cause}": float(count) for cause, count in why.items()})
        told = ", ".join(f"{count} {cause}" for cause, count in why.most_common())
        said = (
            f"mined for the failures of iteration {request.iteration}: {len(written.tasks)} new tasks, "
            f"{len(written.rejected)} rejected" + (f" ({told})" if told else "")
        )
        rank_zero_info(said) if written.tasks else rank_zero_warn(said)

    def _tell_what_is_lost(self, work: Background[Written]) -> None:
        """Training is over and the author was at work: nobody will read what it writes."""
        assert self._request is not None
        if work.problem is not None:
            state = f"failed: {type(work.problem).__name__}: {work.problem}"
        elif work.done:
            state = f"has {len(work.result().tasks)} new tasks that no iteration was left for"
        else:
            state = f"was still at work after {PATIENCE:g} s and was left"
        rank_zero_warn(
            f"FailureMining: the author, asked after iteration {self._request.iteration}, {state}; a run "
            "that goes on with --ckpt_path last asks again"
        )

    def _log(self, module: PolicyModule, numbers: dict[str, float]) -> None:
        named = {f"mining/{name.replace(' ', '_')}": value for name, value in numbers.items()}
        module.log_dict(named, batch_size=1, rank_zero_only=True)

    def _refuse_missing_clips(self, trainer: Trainer) -> None:
        """A resumed run whose mined clips are gone would end every attempt at them by a fault."""
        for task in _data(trainer).known_tasks():
            for clip in task.clips if "mined" in task.extra else ():
                if clip.path and not Path(clip.path).exists():
                    raise UsageError(
                        f"the clip of mined task {task.id!r} is gone: put {clip.path} back where it was"
                    )


def _data(trainer: Trainer) -> GrowingData:
    data: GrowingData = trainer.datamodule  # type: ignore[attr-defined]
    return data


def _folder(trainer: Trainer) -> Path:
    return Path(trainer.default_root_dir).absolute() / "mined"
