"""`eva collect`: a policy's attempts at many tasks, written as they finish. Judges and trains nothing.

An interrupted run is taken up where it stopped: what is in the file is not made again, save for what a
fault ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from eva_lightning.commands.arguments import run_command
from eva_lightning.commands.engine_choice import DecoderChoice, Here, Timestamps, choose_engine, make_agent
from eva_lightning.dialects.eva import EvaDialect
from eva_lightning.engines.base import Engine
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.faults import Fault, UsageError
from eva_lightning.records import Task, Trajectory
from eva_lightning.report.summary import SUMMARY_HEADER, by_source, summarize, summary_row, table
from eva_lightning.rollout import Agent, Job, jobs_for, rollout
from eva_lightning.scoring import score
from eva_lightning.store import Appender, located, portable, read, repair, write
from eva_lightning.synthesis.script import Script
from eva_lightning.synthesis.teachers import Oracle
from eva_lightning.synthesis.world import SCRIPTS, TASKS


def main(words: Sequence[str]) -> None:
    run_command(collect, words, "eva collect")


def collect(
    tasks: str,
    out: str,
    model: str | None = None,
    engine: Here = "transformers",
    server: str | None = None,
    served_name: str | None = None,
    oracle: bool = False,
    attempts: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    concurrency: int = 16,
    limit: int | None = None,
    video_root: str | None = None,
    max_turns: int = 6,
    max_turn_tokens: int = 2048,
    max_tokens: int = 32_768,
    max_visual_tokens: int = 12_000,
    timestamps: Timestamps | None = None,
    decoder: DecoderChoice = "auto",
) -> None:
    """Let a policy attempt every task of a file, and write the trajectories.

    Calling it again goes on where it stopped; attempts that a fault ended are made again.

    Args:
        tasks: JSONL file of tasks, or a folder of the embedded world (its tasks.jsonl).
        out: JSONL file of trajectories to write or to go on with.
        model: Folder or hub id of a Qwen2.5-VL checkpoint to run here.
        engine: Who writes with --model: transformers, or vllm, which is faster with many at once.
        server: Address of an OpenAI-compatible server to ask instead, for example http://localhost:8000.
        served_name: Name of the model on that server; by default its first one. OPENAI_API_KEY is sent if
            set.
        oracle: Let the oracle of the embedded world answer; needs scripts.jsonl beside the tasks.
        attempts: Trajectories per task, each with its own dice.
        temperature: 0 takes the likeliest token.
        seed: Dice; with the number of the attempt and the task's id they make the dice of a trajectory.
        concurrency: Trajectories under way at once.
        limit: Take so many tasks from the top of the file; None takes all.
        video_root: Folder from which relative clip paths count; None is the folder of the file.
        max_turns: Messages the agent may write.
        max_turn_tokens: Tokens it may write in one message.
        max_tokens: Tokens of the whole conversation, frames included.
        max_visual_tokens: Tokens one look may cost, frame labels included.
        timestamps: How frame labels say the time: "[01:15]" (clock) or "75 seconds"; None takes seconds for
            the embedded world and the clock elsewhere.
        decoder: Which video decoder to use; auto takes the GPU where there is one.
    """
    if attempts < 1 or concurrency < 1 or (limit is not None and limit < 1):
        raise UsageError(f"attempts {attempts}, concurrency {concurrency}, limit {limit}: want 1 or more")
    if sum(map(bool, (model, server, oracle))) != 1:
        raise UsageError("say who answers: --model FOLDER|HUB_ID, --server URL or --oracle, one of them")
    file = Path(tasks) / TASKS if Path(tasks).is_dir() else Path(tasks)
    questions = _questions(file, video_root, limit)
    embedded = (file.parent / SCRIPTS).is_file()
    said_as: Timestamps = timestamps or ("seconds" if embedded else "clock")
    jobs = jobs_for(questions, replicas=attempts, seed=seed)
    done = _take_up(Path(out), jobs)
    left = [job for job in jobs if (job.task.id, job.replica) not in done]
    made: list[Trajectory] = []
    if left:
        told = (model, server, served_name, engine)
        writer = _oracle(file, questions, said_as) if oracle else choose_engine(*told)
        agent = make_agent(
            writer,
            temperature=temperature,
            max_turns=max_turns,
            max_turn_tokens=max_turn_tokens,
            max_tokens=max_tokens,
            max_visual_tokens=max_visual_tokens,
            timestamps=said_as,
            decoder=decoder,
        )
        made = _roll(left, agent, Path(out), list(done.values()), concurrency)
    _report([*done.values(), *made], Path(out))
    if made and all(one.stop == "fault" for one in made):
        raise Fault(f"all {len(made)} attempts ended by a fault, the first one: {made[0].faults[-1]}")


def _questions(file: Path, video_root: str | None, limit: int | None) -> list[Task]:
    root = file.parent if video_root is None else Path(video_root)
    questions = [located(task, root) for task in read(file, Task)][:limit]
    if not questions:
        raise UsageError(f"{file}: holds no tasks; write it again, or name another file")
    seen: set[str] = set()
    for task in questions:
        if task.id in seen:
            raise UsageError(f"{file}: two tasks have the id {task.id!r}; give every task its own")
        seen.add(task.id)
    return questions


def _take_up(out: Path, jobs: Sequence[Job]) -> dict[tuple[str, int], Trajectory]:
    """What is done already, by task and attempt. Attempts that a fault ended leave the file: they are made
    again."""
    repair(out)
    rows = read(out, Trajectory) if out.exists() else []
    sound = [one for one in rows if one.stop != "fault"]
    if len(sound) < len(rows):
        write(out, sound)
    seeds = {(job.task.id, job.replica): job.seed for job in jobs}
    done = {(one.task.id, one.replica): one for one in sound if (one.task.id, one.replica) in seeds}
    for key, one in done.items():
        if one.seed != seeds[key]:
            raise UsageError(
                f"{out}: attempt {one.replica} at task {one.task.id!r} was made with another --seed; "
                "give that seed, or another --out"
            )
    return done


def _oracle(file: Path, questions: Sequence[Task], timestamps: Timestamps) -> Engine:
    scripts = file.parent / SCRIPTS
    if not scripts.is_file():
        raise UsageError(f"{scripts}: no such file; --oracle needs a folder of `eva synthesize world`")
    return ScriptedEngine(Oracle(read(scripts, Script), questions, EvaDialect(timestamps=timestamps)))


def _roll(
    jobs: Sequence[Job], agent: Agent, out: Path, done: Sequence[Trajectory], concurrency: int
) -> list[Trajectory]:
    """Make the trajectories and append each as it finishes."""
    tally = [0, 0]
    total = len(jobs) + len(done)
    with Appender(out) as file, tqdm(total=total, desc="collecting", unit="trajectory") as bar:

        def count(one: Trajectory) -> None:
            if one.stop != "fault" and one.task.answer is not None:
                tally[0] += score(one.task, one.answer).correct
                tally[1] += 1
                bar.set_postfix_str(f"accuracy {tally[0] / tally[1]:.1%}", refresh=False)
            bar.update()

        def finish(one: Trajectory) -> None:
            file.append(replace(one, task=portable(one.task, out.parent)))
            count(one)

        for one in done:
            count(one)
        try:
            return asyncio.run(rollout(jobs, agent, concurrency=concurrency, on_finish=finish))
        finally:
            agent.engine.close()
            agent.world.close()


def _report(made: Sequence[Trajectory], out: Path) -> None:
    graded = [one for one in made if one.task.answer is not None]
    if graded:
        families = by_source(graded)
        rows = [summary_row(name or "all", summarize(ones)) for name, ones in families.items()]
        if len(families) > 1:
            rows.append(summary_row("all", summarize(graded)))
        print(table(SUMMARY_HEADER, rows))
    print(f"{len(made)} trajectories in {out}" + ("" if graded else "; no task has a gold answer to score"))
