"""`eva collect`: a policy's or a teacher's attempts at many tasks, written as they finish. Trains nothing.

An interrupted run is taken up where it stopped: what is in the files is not made again, save for what a
fault ended. How a teacher is briefed, and what is kept of it, is in `teaching/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eva_lightning.agent.config import AgentConfig, default_dialect, flat
from eva_lightning.agent.rollout import Job, jobs_for, rollout
from eva_lightning.commands.arguments import (
    refuse_to_overwrite,
    run_command,
    want_one_or_more,
)
from eva_lightning.commands.engine_choice import (
    DecoderChoice,
    Here,
    ToolRole,
    choose_engine,
    make_agent,
    name_on,
)
from eva_lightning.commands.task_file import read_tasks, task_file
from eva_lightning.data.synthesis.script import Script
from eva_lightning.data.synthesis.searcher import Searcher
from eva_lightning.data.synthesis.world import SCRIPTS
from eva_lightning.data.teaching.attempts import Attempts
from eva_lightning.data.teaching.audits import AuditRules
from eva_lightning.data.teaching.bank import ExperienceBank
from eva_lightning.data.teaching.bill import Prices, bill_rows, read_bill
from eva_lightning.data.teaching.filters import KeepRules
from eva_lightning.data.teaching.lesson import Coaching, Keeping, Lesson, Teaching, filled_bank
from eva_lightning.data.teaching.written_turns import written_turns
from eva_lightning.engines.base import Engine
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.store import read
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.quarantine_list import keep as keep_list
from eva_lightning.reports.quarantine_list import told
from eva_lightning.reports.summary import by_source, summarize, summary_table, table
from eva_lightning.scoring import score
from eva_lightning.video.quarantine import Quarantine

ALL, FREE, USUAL = Keeping(), Prices(), AgentConfig()
EARLIER = (
    *("served_name", "hints", "bank", "keep"),
    *flat({"audits": asdict(AuditRules()), "good": asdict(KeepRules())}),
)
"""Settings of earlier versions, under names that are no more."""


def main(words: Sequence[str]) -> None:
    run_command(collect, words, "eva collect")


def collect(
    tasks: str,
    out: str,
    model: str | None = None,
    engine: Here = "transformers",
    server: str | None = None,
    served_name: str | None = None,
    tool_role: ToolRole = "tool",
    oracle: bool = False,
    written: str | None = None,
    attempts: int = 1,
    agent: AgentConfig = USUAL,
    seed: int = 0,
    concurrency: int = 16,
    limit: int | None = None,
    video_root: str | None = None,
    allow_outside: bool = False,
    decoder: DecoderChoice = "auto",
    coach: Coaching | None = None,
    audit: AuditRules | None = None,
    keep: Keeping = ALL,
    prices: Prices = FREE,
) -> None:
    """Let a policy or a teacher attempt every task of a file, and write the trajectories.

    Calling it again goes on where it stopped; attempts that a fault ended are made again. Beside --out lie,
    where there is something to tell, what was dropped and why (.dropped.jsonl), what all runs cost so far
    (.cost.json), the settings with which to go on (.settings.json) and the videos that failed too often in
    the last run (.quarantine.jsonl).

    Args:
        tasks: JSONL file of tasks, or a folder of the embedded world (its tasks.jsonl).
        out: JSONL file of trajectories to write or to go on with.
        model: Folder or hub id of a Qwen2.5-VL checkpoint to run here; None runs none.
        engine: Who writes with --model: transformers, or vllm, which is faster with many at once.
        server: Address of an OpenAI-compatible server to ask instead, for example http://localhost:8000;
            None asks none.
        served_name: Name of the model on that server; by default its first one. OPENAI_API_KEY is sent if
            set.
        tool_role: Role in which frames are sent to that server; "user" where it wants tool calls of its own.
        oracle: Let the oracle of the embedded world answer; needs scripts.jsonl beside the tasks.
        written: Column of the turns that somebody wrote for each task, a text or a list of texts, as kept by
            `eva prepare` (shape.keep). They are acted out here: their calls are made, and what these find is
            seen. None: nobody wrote any.
        attempts: Trajectories per task, each with its own dice.
        agent: How it speaks, what it can do, when it must end. Without a dialect, frames of the embedded
            world are labelled in plain seconds. With an overview and no tools (eva/uniform.yaml) it is the
            baseline by which `eva sift` finds questions that need no search.
        seed: Dice; with the number of the attempt and the task's id they make the dice of a trajectory.
        concurrency: Trajectories under way at once.
        limit: Take so many tasks from the top of the file; None takes all.
        video_root: Folder from which relative clip paths count, and which no clip may leave (by .., a whole
            path or a link). None is the folder of the file, and clips may lie anywhere: name the folder for
            files of strangers.
        allow_outside: Let clips leave video_root all the same.
        decoder: Which video decoder to use; auto takes the GPU where there is one.
        coach: Tell a model that does not know EVA's format how to call the tool and how to answer, and give
            it a hint. What it was told is not written: the trajectories have the plain opening. The word
            alone briefs as usual; None tells it nothing.
        audit: Check every call by rule before it is made, and let the writer mend what breaks one. Only the
            mended message is written. The word alone takes the usual rules; None has none.
        keep: Which attempts are written to --out, and what a good one may take.
        prices: What a million tokens cost, to be told with the other costs.
    """
    want_one_or_more(attempts=attempts, concurrency=concurrency, limit=limit)
    if sum(map(bool, (model, server, oracle, written))) != 1:
        raise UsageError(
            "say who answers: --model FOLDER|HUB_ID, --server URL, --written COLUMN or --oracle, one of them"
        )
    if agent.tools == [] and (coach or audit):
        raise UsageError("neither --coach nor --audit goes with --agent.tools []: there are no calls")
    file = task_file(tasks)
    refuse_to_overwrite(out, str(file))
    questions = _told_apart(read_tasks(file, video_root, limit, allow_outside), file)
    jobs = jobs_for(questions, replicas=attempts, seed=seed)
    with sole_writer(out, "give another --out"):
        book = Attempts(out, jobs)
        agent = _in_seconds(agent, file)
        settings: dict[str, Any] = (
            {"model": model, "oracle": oracle}
            | ({} if written is None else {"written": written})
            | {f"agent.{name}": value for name, value in agent.facts().items()}
            | {"coach": coach is not None, "audit": audit is not None}
        )
        if server is not None and (book.left or served_name):
            settings["served_model"] = served_name or name_on(server)
        lessons = _lesson_settings(coach, audit, keep)
        # Which model is served is not known where all is done and nobody is asked.
        book.settle(settings | lessons, if_known=("served_model", *lessons, *EARLIER))
        made: list[Trajectory] = []
        quarantine: Quarantine | None = None
        if left := book.left:
            teaching = Teaching(
                coach=coach,
                audit=audit,
                keep=keep,
                bank=filled_bank(coach.bank, book.kept.values(), keep) if coach else ExperienceBank(),
            )
            asked = settings.get("served_model")
            if oracle:
                writer = _oracle(file, questions, agent)
            elif written is not None:
                writer = ScriptedEngine(written_turns(questions, written))
            else:
                writer = choose_engine(
                    model, server, asked, engine, tool_role=tool_role, concurrency=concurrency
                )
            who = make_agent(agent, writer, decoder)
            quarantine = who.world.quarantine
            if quarantine is not None:
                book.quarantine.unlink(missing_ok=True)  # this run tries them again
                keep_list(quarantine, book.quarantine)
            made = _roll(left, Lesson(teaching, who, left, book), book, concurrency)
        _report([*book.done.values(), *made], book, prices)
        if quarantine is not None and quarantine.left_out:
            print(told(quarantine.left_out, book.quarantine))
        _refuse_nothing_but_faults(made)


def _lesson_settings(coach: Coaching | None, audit: AuditRules | None, keep: Keeping) -> dict[str, Any]:
    """What else decides which trajectories come out, where it counts at all."""
    facts: dict[str, Any] = {"keep": {"only_good": keep.only_good}}
    if coach is not None:
        facts["coach"] = {"hints": list(coach.hints), "bank": coach.bank}
    if audit is not None:
        facts["audit"] = asdict(audit)
    if keep.only_good or coach is not None:  # a good one may be the experience that another is told
        facts["keep"] = asdict(keep)
    return flat(facts)


def _in_seconds(agent: AgentConfig, file: Path) -> AgentConfig:
    """The same; for tasks of the embedded world, where nothing else is said, with times in plain seconds."""
    embedded = agent.dialect is None and (file.parent / SCRIPTS).is_file()
    return replace(agent, dialect=default_dialect(seconds=True)) if embedded else agent


def _told_apart(questions: list[Task], file: Path) -> list[Task]:
    """The same; UsageError if two have one id, by which their attempts are kept."""
    seen: set[str] = set()
    for task in questions:
        if task.id in seen:
            raise UsageError(f"{file}: two tasks have the id {task.id!r}; give every task its own")
        seen.add(task.id)
    return questions


def _oracle(file: Path, questions: Sequence[Task], agent: AgentConfig) -> Engine:
    scripts = file.parent / SCRIPTS
    if not scripts.is_file():
        raise UsageError(f"{scripts}: no such file; --oracle needs a folder of `eva synthesize world`")
    return ScriptedEngine(Searcher(read(scripts, Script), questions, agent.dialect or default_dialect()))


def _roll(jobs: Sequence[Job], lesson: Lesson, book: Attempts, concurrency: int) -> list[Trajectory]:
    """Make the trajectories and append each as it finishes."""
    tally = [0, 0]
    done = list(book.done.values())
    total = len(jobs) + len(done)
    with book, tqdm(total=total, desc="collecting", unit="trajectory") as bar:

        def count(one: Trajectory) -> None:
            if one.stop != "fault" and one.task.answer is not None:
                tally[0] += score(one.task, one.answer).correct
                tally[1] += 1
                bar.set_postfix_str(f"accuracy {tally[0] / tally[1]:.1%}", refresh=False)
            bar.update()

        def finish(one: Trajectory) -> None:
            lesson.put_away(one)
            count(one)

        for one in done:
            count(one)
        agent = lesson.agent
        try:
            return asyncio.run(rollout(jobs, agent, concurrency=concurrency, on_finish=finish))
        finally:
            agent.engine.close()
            agent.world.close()


def _refuse_nothing_but_faults(made: Sequence[Trajectory]) -> None:
    if made and all(one.stop == "fault" for one in made):
        raise Fault(f"all {len(made)} attempts ended by a fault, the first one: {made[0].faults[-1]}")


def _report(made: Sequence[Trajectory], book: Attempts, prices: Prices) -> None:
    graded = [one for one in made if one.task.answer is not None]
    if graded:
        families = by_source(graded)
        rows = [(name or "all", summarize(ones)) for name, ones in families.items()]
        if len(families) > 1:
            rows.append(("all", summarize(graded)))
        print(summary_table(rows))
    dropped = sum(book.causes.values())
    if dropped:
        causes = [[cause, str(count)] for cause, count in book.causes.most_common()]
        print(table(("dropped", "trajectories"), causes))
    if book.cost.exists():
        spent = bill_rows(read_bill(book.cost), prices, len(made) - dropped)
        print(table(("cost", "all runs"), spent))
    kept = f"{len(made) - dropped} trajectories in {book.out}"
    kept += f", {dropped} dropped to {book.beside}" if dropped else ""
    print(kept + ("" if graded else "; no task has a gold answer to score"))
