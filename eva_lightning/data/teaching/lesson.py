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
class Coaching:
    """How a model is briefed that does not know the format."""

    hints: tuple[HintKind, ...] = ("experience", "workflow", "reflection")
    """Kinds of hints to draw from, one for each trajectory by its dice: experience (a success at a similar
    question about another video), workflow, reflection, format (none)."""
    bank: str | None = None
    """JSONL file of good trajectories to take experiences from; good ones of this run join them. None begins
    with those of this run."""


@dataclass(frozen=True, kw_only=True)
class Keeping(KeepRules):
    """Which attempts are kept, and what a good one may take."""

    only_good: bool = False
    """Keep those alone that are right, well-formed, looked first, broke no rule of the audit and do not give
    the briefing away; what is dropped lies beside the others."""


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """What a user chose, with the bank read."""

    coach: Coaching | None
    """How the teacher is briefed; None tells it nothing."""
    audit: AuditRules | None
    """Rules for calls; None lets all of them pass."""
    keep: Keeping
    """What becomes of the attempts."""
    bank: ExperienceBank
    """Good trajectories to tell of; those that are made join them."""


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
            None if teaching.audit is None else Auditor(teaching.audit, agent.dialect, agent.world.describe)
        )
        metered = agent.engine.meter is not None or self.auditor is not None
        self.bill = RunningBill(book.cost, agent.engine.meter) if metered else None
        self.coach: Coach | None = None
        if teaching.coach is not None:
            self.coach = Coach(
                jobs,
                agent.dialect,
                agent.tools,
                agent.limits,
                kinds=teaching.coach.hints,
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
        keep = self.teaching.keep
        judged = self.coach is not None or keep.only_good
        flaw = why_not(one, keep, self.auditor) if judged else None
        if flaw is None and self.coach is not None:
            self.teaching.bank.add(one)
        if flaw is None or not keep.only_good:
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
