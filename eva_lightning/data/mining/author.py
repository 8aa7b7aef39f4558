"""The author of new tasks of the kind at which a policy failed, and what may become of a written one.

An author only writes; what it wrote is not to be trained on before it went through `checks.py` (see
`harvest.py`). What could not even be read as a task is handed over as well, with the reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.worlds.base import World
from eva_lightning.data.mining.causes import Failure
from eva_lightning.engines.single_turn import unheard
from eva_lightning.records import Task

RejectionCause = Literal[
    "no reply",
    "refused",
    "cut short",
    "not JSON",
    "not a task",
    "surplus",
    "nothing to ask",
    "broken clip",
    "leaked",
    "duplicate",
    "bad options",
    "off clip",
    "not in the frames",
    "needs no frames",
]
"""the engine failed or took too long | it would not | its reply ran into the token limit | its reply is no
list of objects | a field is missing or makes no sense | more than was asked for | no clip allows such a
question | a video can not be read | the question holds its answer | asked already | options repeated or
lopsided | the evidence lies outside of what there is | the teacher can not answer it from the evidence | or
can without any."""


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """Something that was written and will not be trained on."""

    cause: RejectionCause
    """Why, in a word or three."""
    reason: str
    """Why, in words a person can check."""
    text: str = ""
    """What was written, where it is no task."""
    task: Task | None = None
    """The task, where it is one."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """Tasks that passed, and what did not."""

    tasks: tuple[Task, ...] = ()
    """In the order in which they were written."""
    rejected: tuple[Rejected, ...] = ()
    """The rest."""


class TaskAuthor(ABC):
    """Writes tasks. It may run in a thread beside the training, so it shares no engine with it."""

    stopped: bool = False
    """Set from another thread: nobody wants the rest."""

    def settle(self, folder: Path, world: World, dialect: Dialect) -> None:
        """Where new clips may be written, and how the agent that failed reads videos and spells answers."""

    @abstractmethod
    def write(
        self, failures: Sequence[Failure], count: int, seed: int, progress: Callable[[int], None] = unheard
    ) -> Written:
        """About `count` tasks of the kinds that failed, more of those that failed more often.

        The clips of a task have absolute paths. `progress` hears how many are done, now and then. The same
        failures and seed give the same tasks, as far as that is in the author's hands.
        """

    def vet(self, tasks: Sequence[Task]) -> Written:
        """Its own doubts about tasks that passed all other checks.

        An author that knows its answers has none.
        """
        return Written(tasks=tuple(tasks))

    def close(self) -> None:
        """Give back connections and files."""
