"""The agent loop: many trajectories at once, each writing, looking and reading until it answers.

While some wait for frames the others write. The engine's ids are kept as they were
sampled and only ever appended to. A mistake of the model becomes an observation it can read; a `Fault` ends
the trajectory and is recorded; any other exception is a bug and ends the run.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache

from eva_lightning.agent.dialects.base import Dialect, Parsed
from eva_lightning.agent.overview import Overview
from eva_lightning.agent.tools.base import Findings, Tool
from eva_lightning.agent.worlds.base import World
from eva_lightning.engines.base import Context, Engine, Sampling
from eva_lightning.faults import Fault, ToolError
from eva_lightning.files.identity import identity
from eva_lightning.records import FrameRef, Message, Observation, Part, Task, Trajectory, Turn


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a trajectory must end."""

    turns: int = 6
    """Messages of the model."""
    turn_tokens: int = 2048
    """Tokens in one of them."""
    total_tokens: int = 32_768
    """Tokens of the whole conversation, frames included."""
    last_call: bool = False
    """Whether a call in the last message still runs, though nobody reads it, as EVA's evaluator has it."""

    def __post_init__(self) -> None:
        for name in ("turns", "turn_tokens", "total_tokens"):
            limit = getattr(self, name)
            if limit < 1:
                raise ValueError(f"limits: {name} is {limit}: want 1 or more")


@dataclass(frozen=True, kw_only=True)
class Agent:
    """Everything a trajectory needs beside its task."""

    engine: Engine
    """Writes."""
    dialect: Dialect
    """Spells."""
    tools: Sequence[Tool]
    """What it can do."""
    world: World
    """What it can perceive."""
    overview: Overview | None = None
    """What it is shown before its first turn."""
    limits: Limits = field(default_factory=Limits)
    """When it must stop."""
    temperature: float = 1.0
    """0 takes the likeliest token."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One trajectory to be made."""

    task: Task
    """The question."""
    replica: int = 0
    """Which of the attempts at this task."""
    seed: int = 0
    """Its dice."""


@dataclass(kw_only=True)
class Stopwatch:
    """Where the time of a rollout went. Kept apart from the trajectories, which replay byte for byte."""

    writing: float = 0.0
    """Seconds spent waiting for the engine, summed over trajectories."""
    looking: float = 0.0
    """Seconds spent in tools, summed over trajectories."""
    wall: float = 0.0
    """Seconds from the first to the last."""


def derive_seed(*parts: object) -> int:
    """63 bits that depend on every part and on nothing else: not on ranks, order or Python's hash salt."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def jobs_for(tasks: Sequence[Task], *, replicas: int = 1, seed: int = 0, step: int = 0) -> list[Job]:
    """`replicas` attempts at every task, each with its own dice."""
    return [
        Job(task=task, replica=replica, seed=derive_seed(seed, step, task.id, replica))
        for task in tasks
        for replica in range(replicas)
    ]


async def rollout(
    jobs: Sequence[Job],
    agent: Agent,
    *,
    concurrency: int = 64,
    on_finish: Callable[[Trajectory], None] | None = None,
    watch: Stopwatch | None = None,
    keep: bool = True,
) -> list[Trajectory]:
    """Make one trajectory for each job, `concurrency` at a time; they come back in the order of the jobs.

    Without `keep` nothing comes back and memory does not grow with the number of jobs: `on_finish` gets each.
    """
    watch = watch or Stopwatch()
    began = time.perf_counter()
    finished: list[Trajectory | None] = [None] * len(jobs)
    queue = iter(enumerate(jobs))

    async def worker(queue: Iterator[tuple[int, Job]]) -> None:
        with agent.engine.seat():
            await asyncio.sleep(0)  # every worker is seated before the first one asks
            for place, job in queue:
                trajectory = await _attempt(job, place, agent, watch)
                finished[place] = trajectory if keep else None
                if on_finish is not None:
                    on_finish(trajectory)

    workers = max(min(concurrency, len(jobs)), 1)
    # One for each trajectory that may decode, and some for engines that read pixels: the loop's own are few.
    threads = ThreadPoolExecutor(workers + 4, thread_name_prefix="tool")
    asyncio.get_running_loop().set_default_executor(threads)
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(worker(queue))
    watch.wall += time.perf_counter() - began
    return [trajectory for trajectory in finished if trajectory is not None]


async def _attempt(job: Job, place: int, agent: Agent, watch: Stopwatch) -> Trajectory:
    trajectory = Trajectory(task=job.task, prompt=(), replica=job.replica, seed=job.seed)
    try:
        facts = [await asyncio.to_thread(agent.world.describe, clip) for clip in job.task.clips]
        shown = (
            [await agent.overview.of(clip, agent.world) for clip in job.task.clips] if agent.overview else []
        )
        trajectory.prompt = agent.dialect.opening(job.task, facts, tools=agent.tools, shown=shown)
        if agent.engine.renderer is not None:
            trajectory.prompt_ids = agent.engine.renderer.opening(trajectory.prompt)
        while trajectory.stop is None:
            await _take_turn(trajectory, place, agent, watch)
    except Fault as fault:
        trajectory.faults.append(str(fault))
        trajectory.stop = "fault"
    return trajectory


async def _take_turn(trajectory: Trajectory, place: int, agent: Agent, watch: Stopwatch) -> None:
    """One message of the model and what follows from it."""
    limits = agent.limits
    room = limits.total_tokens - _used(trajectory)
    if room <= 0:
        trajectory.stop = "token_limit"
        return
    began = time.perf_counter()
    said = await agent.engine.write(
        _context(trajectory, place, agent.world),
        Sampling(
            temperature=agent.temperature,
            max_tokens=min(limits.turn_tokens, room),
            seed=derive_seed(trajectory.seed, trajectory.rounds),
        ),
    )
    watch.writing += time.perf_counter() - began
    trajectory.faults += said.faults
    parsed = agent.dialect.parse(said.text)
    if not agent.tools and parsed.answer is None:  # it can do nothing else
        parsed = Parsed(answer=said.text.strip() or None)
    turn = Turn(
        text=said.text,
        token_ids=list(said.token_ids),
        logprobs=list(said.logprobs),
        weight_version=said.weight_version,
        cut=said.cut,
        calls=parsed.calls,
    )
    trajectory.turns.append(turn)
    if parsed.answer is not None:
        trajectory.answer, trajectory.stop = parsed.answer, "answered"
    elif not parsed.calls and parsed.problem is None:
        short_of_room = said.cut and room < limits.turn_tokens
        trajectory.stop = "token_limit" if short_of_room else "turn_cut" if said.cut else "no_action"
    else:
        last = trajectory.rounds >= limits.turns
        if not last or limits.last_call:
            await _observe(trajectory, turn, parsed, agent, watch)
        if last:
            trajectory.stop = "turn_limit"


async def _observe(
    trajectory: Trajectory, turn: Turn, parsed: Parsed, agent: Agent, watch: Stopwatch
) -> None:
    """Run the calls of a turn and append what they found: text and frames together, or not at all."""
    began = time.perf_counter()
    before = trajectory.messages
    findings: list[Findings] = []
    problems = [parsed.problem] if parsed.problem else []
    empty = agent.dialect.observation(trajectory.task, (), ())
    room = agent.limits.total_tokens - agent.limits.turn_tokens - _used(trajectory) - _text_cost(empty, agent)
    for call in parsed.calls:
        tool = next((tool for tool in agent.tools if tool.name == call.name), None)
        try:
            if tool is None:
                known = ", ".join(tool.name for tool in agent.tools)
                raise ToolError(f"there is no tool {call.name!r}; the tools are {known}")
            found = await tool.run(call, trajectory.task.clips, agent.world, room)
        except ToolError as mistake:
            problems.append(str(mistake))
        else:
            findings.append(found)
            room -= found.tokens
    watch.looking += time.perf_counter() - began
    observation = Observation(
        parts=agent.dialect.observation(trajectory.task, findings, problems),
        error="; ".join(problems) or None,
        frames_cut=sum(found.frames_cut for found in findings),
        spans=tuple(span for found in findings for span in found.spans),
    )
    _append(trajectory, turn, observation, before, agent)


def _append(
    trajectory: Trajectory, turn: Turn, observation: Observation, before: tuple[Message, ...], agent: Agent
) -> None:
    ids: list[int] = []
    if agent.engine.renderer is not None:
        message = Message(role="tool", parts=observation.parts)
        ids = agent.engine.renderer.follow(before, message, cut=turn.cut)
    turn.observation, turn.observation_ids = observation, ids
    if _used(trajectory) >= agent.limits.total_tokens:
        turn.observation, turn.observation_ids = None, []
        trajectory.stop = "token_limit"


def _context(trajectory: Trajectory, place: int, world: World) -> Context:
    clips = {clip.id: clip for clip in trajectory.task.clips}

    @cache  # asked for every frame of a turn
    def origin(clip_id: str) -> tuple[object, ...]:
        clip = clips[clip_id]
        file = identity(clip.path) if clip.path else (trajectory.task.id, clip.id)
        return *file, clip.begin or 0.0

    def name(frame: FrameRef) -> str:
        return f"{derive_seed(*origin(frame.clip), frame.time, frame.height, frame.width):016x}"

    return Context(
        messages=trajectory.messages,
        ids=tuple(trajectory.token_ids),
        pixels=world.reader(trajectory.task.clips),
        name=name,
        task_id=trajectory.task.id,
        place=place,
    )


def _text_cost(parts: Sequence[Part], agent: Agent) -> int:
    """Tokens of the text of a tool message, and of the chat template around it."""
    text = "".join(part for part in parts if isinstance(part, str))
    return 16 + (agent.engine.renderer.count(text) if agent.engine.renderer else len(text) // 4)


def _used(trajectory: Trajectory) -> int:
    """Tokens so far, frames expanded. Where no ids are kept, four characters count as one token."""
    if trajectory.prompt_ids:
        return trajectory.ledger.total
    return sum(len(message.text) for message in trajectory.messages) // 4 + trajectory.visual_tokens
