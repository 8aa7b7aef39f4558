"""The harvest: failures become tasks to train on, written, checked, examined, balanced. The only way there.

Nothing is trained here, and nothing is kept: what becomes of the tasks is the caller's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from eva_lightning.agent.rollout import derive_seed
from eva_lightning.agent.worlds.base import World
from eva_lightning.data.mining.author import Rejected, TaskAuthor, Written
from eva_lightning.data.mining.causes import Failure
from eva_lightning.data.mining.checks import balanced, checked
from eva_lightning.engines.single_turn import unheard
from eva_lightning.files.store import portable, write
from eva_lightning.records import Clip, Task


def harvest(
    author: TaskAuthor,
    failures: Sequence[Failure],
    count: int,
    *,
    pool: Sequence[Task],
    world: World,
    seed: int,
    tries: int = 2,
    progress: Callable[[int], None] = unheard,
) -> Written:
    """Up to `count` new tasks of the kinds that failed, and what was rejected on the way.

    Args:
        author: Writes them.
        failures: What the policy could not do.
        count: Tasks that are wanted.
        pool: Tasks that there are already: none of them is asked again.
        world: Knows how long a clip is.
        seed: Dice.
        tries: How often the author is asked for what is still missing.
        progress: Hears how many were written, now and then.
    """

    def duration(clip: Clip) -> float:
        return world.describe(clip).duration

    accepted: list[Task] = []
    rejected: list[Rejected] = []
    for number in range(tries):
        missing = count - len(accepted)
        if missing <= 0 or author.stopped:
            break
        written = author.write(failures, missing, derive_seed(seed, number), progress)
        passed = checked(written.tasks, [*pool, *accepted], duration)
        agreed = author.vet(passed.tasks)
        accepted += agreed.tasks
        rejected += [*written.rejected, *passed.rejected, *agreed.rejected]
    return Written(tasks=tuple(balanced(accepted, seed)), rejected=tuple(rejected))


def write_down(written: Written, out: Path) -> None:
    """The tasks to `out`, what was rejected beside it; clip paths count from there."""
    write_rejected(written.rejected, out)
    write(out, [portable(task, out.parent) for task in written.tasks])


def write_rejected(rejected: Iterable[Rejected], out: Path) -> None:
    """What was rejected, and why, beside `out`."""

    def told(one: Rejected) -> Rejected:
        return one if one.task is None else replace(one, task=portable(one.task, out.parent))

    write(rejected_beside(out), map(told, rejected))


def rejected_beside(out: Path) -> Path:
    """Where what was rejected lies."""
    return out.with_suffix(".rejected.jsonl")


def counts_of(rejected: Iterable[Rejected]) -> Counter[str]:
    """How often each cause came up."""
    return Counter(one.cause for one in rejected)
