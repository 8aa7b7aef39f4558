"""One run of a teacher, put together: who briefs it, who objects, and what becomes of each attempt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from eva_lightning.agent.rollout import Agent, Job
from eva_lightning.data.teaching.attempts import Attempts
from eva_lightning.data.teaching.audits import Auditor, AuditRules
from eva_lightning.data.teaching.bank import ExperienceBank
from eva_lightning.data.teaching.bill import RunningBill
from eva_lightning.data.teaching.coach import Coach
from eva_lightning.data.teaching.coached_engine import CoachedEngine
from eva_lightning.data.teaching.filters import KeepRules, why_not
from eva_lightning.data.teaching.hints import HintKind
from eva_lightning.faults import UsageError
from eva_lightning.files.store import located, read
from eva_lightning.records import Trajectory


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """What a user chose."""

    coach: bool
    """Whether the teacher is told the format and given hints."""
    hints: tuple[HintKind, ...]
    """Kinds of hints to draw from."""
    bank: ExperienceBank
    """Good trajectories to tell of; those that are made join them."""
    audits: AuditRules | None
    """Rules for calls; None lets all of them pass."""
    keep_all: bool
    """Whether attempts that are not good are kept, too."""
    good: KeepRules
    """What a good attempt may take."""


class Lesson:
    """Has the agent that a rollout is to use, and settles what becomes of what it makes."""

    def __init__(self, teaching: Teaching, agent: Agent, jobs: list[Job], book: Attempts) -> None:
        """
        Args:
            teaching: What a user chose.
            agent: The bare teacher as an agent.
            jobs: The trajectories to be made, in the order of the rollout.
            book: Where they are written.
        """
        self.teaching, self.book = teaching, book
        self.auditor = (
            None if teaching.audits is None else Auditor(teaching.audits, agent.dialect, agent.world.describe)
        )
        metered = agent.engine.meter is not None or self.auditor is not None
        self.bill = RunningBill(book.cost, agent.engine.meter) if metered else None
        self.coach: Coach | None = None
        if teaching.coach:
            self.coach = Coach(
                jobs,
                agent.dialect,
                agent.tools,
                agent.limits,
                kinds=teaching.hints,
                bank=teaching.bank,
            )
        self.agent = agent
        if self.coach is not None or self.auditor is not None:
            tasks = [job.task for job in jobs]
            self.agent = replace(
                agent,
                engine=CoachedEngine(
                    agent.engine, tasks, self.coach, self.auditor, on_objection=self._objected
                ),
            )

    def put_away(self, one: Trajectory) -> None:
        """Write a finished attempt to where it belongs."""
        if self.coach is not None:
            one = replace(one, hint=self.coach.hint(one))
            self.coach.forget(one)
        if one.stop == "fault" and self.bill is not None:
            self.bill.fault(one.faults[-1])
        judged = self.coach is not None or not self.teaching.keep_all
        flaw = why_not(one, self.teaching.good, self.auditor) if judged else None
        if flaw is None and self.coach is not None:
            self.teaching.bank.add(one)
        if flaw is None or self.teaching.keep_all:
            self.book.keep(one)
        else:
            self.book.drop(one, *flaw)

    def _objected(self, cause: str) -> None:
        if self.bill is not None:
            self.bill.objection(cause)


def filled_bank(file: str | None, kept: Iterable[Trajectory], rules: KeepRules) -> ExperienceBank:
    """With the good ones of the user's file, and with those of earlier runs.

    Calls are not audited here: the videos of a bank may be elsewhere.
    """
    bank = ExperienceBank(one for one in kept if why_not(one, rules) is None)
    if file is not None:
        root = Path(file).parent
        rows = [located(one, root) for one in read(file, Trajectory)]
        good = [one for one in rows if why_not(one, rules) is None]
        if not good:
            raise UsageError(
                f"{file}: none of its {len(rows)} trajectories is good; want right answers after a look"
            )
        for one in good:
            bank.add(one)
    return bank
