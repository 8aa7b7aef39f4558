"""`eva replay`: trajectories made again from their record, and where they part from it.

What is compared, and in which order, is in `agent/replay.py`. Writes nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.replay import RecordedEngine, Spell, divergence, logprob_gap
from eva_lightning.agent.rollout import Job, rollout
from eva_lightning.commands.arguments import run_command, want_one_or_more
from eva_lightning.commands.engine_choice import DecoderChoice, Here, ToolRole, choose_engine, make_agent
from eva_lightning.commands.recorded_settings import as_recorded, recorded_settings
from eva_lightning.engines.base import Engine
from eva_lightning.faults import UsageError
from eva_lightning.files.store import located, stream
from eva_lightning.records import Trajectory

USUAL = AgentConfig()


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row of the file."""

    number: int
    """Counted from 1."""
    trajectory: Trajectory
    """Its clips are located."""

    @property
    def name(self) -> str:
        return f"{self.number} {self.trajectory.task.id!r} attempt {self.trajectory.replica}"


def main(words: Sequence[str]) -> None:
    run_command(replay, words, "eva replay", positional=True)


def replay(
    trajectories: str,
    model: str | None = None,
    engine: Here = "transformers",
    server: str | None = None,
    served_name: str | None = None,
    tool_role: ToolRole = "tool",
    tools_only: bool = False,
    agent: AgentConfig = USUAL,
    which: list[str | int] | None = None,
    limit: int | None = None,
    concurrency: int = 1,
    video_root: str | None = None,
    decoder: DecoderChoice = "auto",
) -> None:
    """Make trajectories again from their record and say where they diverge, token by token, frame by frame.

    A line for each: equal, or the first difference. Name the checkpoint or server that wrote them;
    temperature, limits and the spelling of times are taken from the settings beside the file where nothing
    else is said. Status 1 if any diverges.

    Args:
        trajectories: JSONL file of trajectories.
        model: Folder or hub id of the checkpoint that wrote them. With --tools_only its tokenizer alone is
            used, to compare the ids of what was observed, too.
        engine: Who writes with --model: transformers, or vllm.
        server: Address of the OpenAI-compatible server that wrote them. Most promise nothing of equal words.
        served_name: Name of the model on that server; by default its first one. OPENAI_API_KEY is sent if
            set.
        tool_role: Role in which frames are sent to that server.
        tools_only: Let no model write: take the words from the record, and make only what the tools answered
            again.
        agent: How it speaks, what it can do, when it must end.
        which: Only these: numbers of rows, from 1, or ids of tasks, as [3,t12]. None takes all.
        limit: Take so many of them; None takes all.
        concurrency: Trajectories under way at once. Those that are written at once are computed together, so
            that log-probs differ in their last digits from those of one that is written alone.
        video_root: Folder from which relative clip paths count; None is the folder of the file.
        decoder: Which video decoder to use; auto takes the GPU where there is one.
    """
    want_one_or_more(concurrency=concurrency, limit=limit)
    file = Path(trajectories)
    records, left_out = _records(file, video_root, which, limit, tools_only)
    agent = _as_it_was(agent, file)
    writer, spell = _writer(records, tools_only, model, server, served_name, engine, tool_role, concurrency)
    who = make_agent(agent, writer, decoder)
    equal = 0
    try:
        with tqdm(total=len(records), desc="replaying", unit="trajectory", disable=None) as bar:
            jobs = [_job(one.trajectory) for one in records]
            places = {id(job.task): place for place, job in enumerate(jobs)}

            def tell(now: Trajectory) -> None:
                nonlocal equal
                was = records[places[id(now.task)]]
                parted = divergence(was.trajectory, now, spell)
                equal += parted is None
                bar.update()
                bar.write(f"{was.name}: {parted or _equal(was.trajectory, now)}")

            asyncio.run(rollout(jobs, who, concurrency=concurrency, on_finish=tell, keep=False))
    finally:
        who.engine.close()
        who.world.close()
    print(f"{equal} of {len(records)} trajectories are made again as they were recorded{left_out}")
    if equal < len(records):
        for clip in sorted(_changed_since(file, records)):
            print(f"{clip} was changed after {file} was")
        raise SystemExit(1)


def _records(
    file: Path, video_root: str | None, which: list[str | int] | None, limit: int | None, tools_only: bool
) -> tuple[list[Record], str]:
    """The rows that are wanted and can be made again; and what was left out, in words."""
    wanted = None if which is None else set(map(str, which))
    root = file.parent if video_root is None else Path(video_root)
    found: list[Record] = []
    faults = told = 0
    for number, one in enumerate(stream(file, Trajectory), start=1):
        if wanted is not None and not wanted & {str(number), one.task.id}:
            continue
        faults += one.stop == "fault"
        briefed = bool(one.hint) and not tools_only
        told += briefed and one.stop != "fault"
        if one.stop != "fault" and not briefed:
            found.append(Record(number=number, trajectory=located(one, root)))
        if len(found) == limit:
            break
    said = f"; {faults} that a fault ended are left out" if faults else ""
    said += f"; {told} whose writer was briefed can be made again with --tools_only" if told else ""
    if not found:
        raise UsageError(f"{file}: holds no trajectory that can be made again{said}")
    return found, said


def _as_it_was(agent: AgentConfig, file: Path) -> AgentConfig:
    """The agent by the settings beside the file; what is assumed is said."""
    beside = recorded_settings(file)
    if beside is None:
        told = f"no settings beside {file}: an agent is assumed with"
    else:
        agent, others = as_recorded(agent, beside[1])
        told = f"by {beside[0]}"
        if others:
            told += f" (but {'; '.join(others)})"
        told += ":"
    limits = ", ".join(f"{name} {value}" for name, value in vars(agent.limits).items())
    print(f"{told} temperature {agent.temperature:g}, limits {limits}", file=sys.stderr)
    return agent


def _writer(
    records: Sequence[Record],
    tools_only: bool,
    model: str | None,
    server: str | None,
    served_name: str | None,
    engine: Here,
    tool_role: ToolRole,
    concurrency: int,
) -> tuple[Engine, Spell]:
    """Who writes, and what its tokens stand for."""
    writer: Engine
    if not tools_only:
        writer = choose_engine(
            model, server, served_name, engine, tool_role=tool_role, concurrency=concurrency
        )
    elif server is not None:
        raise UsageError("--tools_only asks no server: leave out --server")
    else:
        renderer = None
        if model is not None:
            from eva_lightning.policy.renderer import Renderer

            renderer = Renderer.from_pretrained(model)
        writer = RecordedEngine([one.trajectory for one in records], renderer)
    spelling = writer.renderer
    return writer, (lambda token: "") if spelling is None else lambda token: spelling.decode([token])


def _job(one: Trajectory) -> Job:
    return Job(task=one.task, replica=one.replica, seed=one.seed)


def _equal(was: Trajectory, now: Trajectory) -> str:
    tokens = sum(len(turn.token_ids) for turn in was.turns)
    gap = logprob_gap(was, now)
    compared = f"{tokens} tokens" if tokens and any(turn.token_ids for turn in now.turns) else "the words"
    apart = f", log-probs up to {gap:.2g} apart" if gap else ""
    return f"equal ({was.rounds} turns, {compared}, {len(was.frames)} frames{apart})"


def _changed_since(file: Path, records: Sequence[Record]) -> set[str]:
    """Clips that are newer than the record."""
    clips = {clip.path for one in records for clip in one.trajectory.task.clips if Path(clip.path).is_file()}
    written = file.stat().st_mtime
    return {clip for clip in clips if Path(clip).stat().st_mtime > written}
