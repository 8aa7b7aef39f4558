"""The agent loop: many trajectories at once, each writing, looking and reading until it answers.

While some wait for frames the others write. The engine's ids are kept as they were
sampled and only ever appended to. A mistake of the model becomes an observation it can read; a `Fault` ends
the trajectory and is recorded; any other exception is a bug and ends the run.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field

from eva_lightning.agent.dialects.base import Dialect, Parsed
from eva_lightning.agent.overview import Overview
from eva_lightning.agent.tools.base import Findings, Tool, often
from eva_lightning.agent.worlds.base import World
from eva_lightning.engines.base import Context, Engine, Sampling
from eva_lightning.engines.frame_names import frame_names
from eva_lightning.faults import Fault, ToolError, UsageError
from eva_lightning.policy.shared_ids import share_ids
from eva_lightning.records import Message, Observation, Task, ToolCall, Trajectory, Turn


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

    def __post_init__(self) -> None:
        if (square := self.engine.square) is not None:
            self.world.square = square
            for tool in self.tools:
                tool.square = square
        mute = [tool.name for tool in self.tools if tool.wants_words and not self.world.has_words]
        if mute:
            raise UsageError(
                f"the tool {mute[0]} wants words, and {type(self.world).__name__} has none; give a world "
                "that has, such as ScriptWorld or Described"
            )
        if self.world.has_pictures:
            return
        wanting = [f"the tool {tool.name} fetches frames" for tool in self.tools if tool.wants_pictures]
        wanting += ["an overview shows frames"] if self.overview else []
        if wanting:
            raise UsageError(f"{wanting[0]}, and {type(self.world).__name__} has no pictures; leave it out")


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


def threads_for(trajectories: int) -> int:
    """One for each that may decode, and some for engines that read pixels: a loop's own are few."""
    return trajectories + 4


async def rollout(
    jobs: Sequence[Job],
    agent: Agent,
    *,
    concurrency: int = 64,
    on_finish: Callable[[Trajectory], None] | None = None,
    on_growth: Callable[[Trajectory], None] | None = None,
    watch: Stopwatch | None = None,
    keep: bool = True,
    slots: asyncio.Semaphore | None = None,
) -> list[Trajectory]:
    """Make one trajectory for each job, `concurrency` at a time; they come back in the order of the jobs.

    Without `keep` nothing comes back and memory does not grow with the number of jobs: `on_finish` gets each.
    `on_growth` gets each whenever it has grown: by its opening, a turn, an observation. It is still under way
    then, so whoever keeps it copies it.
    Rollouts of one event loop that share `slots` have as many trajectories under way between them; one that
    began earlier goes first.
    """
    watch = watch or Stopwatch()
    began = time.perf_counter()
    finished: list[Trajectory | None] = [None] * len(jobs)
    queue = iter(enumerate(jobs))

    async def worker(queue: Iterator[tuple[int, Job]]) -> None:
        # A slot is kept until no job is left, so that nobody who came later is let in before.
        async with slots or nullcontext():
            with agent.engine.seat():
                await asyncio.sleep(0)  # every worker is seated before the first one asks
                for place, job in queue:
                    trajectory = await _Attempt(job, place, agent, watch, on_growth).run()
                    finished[place] = trajectory if keep else None
                    if on_finish is not None:
                        on_finish(trajectory)

    workers = max(min(concurrency, len(jobs)), 1)
    if slots is None:  # else the loop is not ours alone
        threads = ThreadPoolExecutor(threads_for(workers), thread_name_prefix="tool")
        asyncio.get_running_loop().set_default_executor(threads)
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(worker(queue))
    watch.wall += time.perf_counter() - began
    return [trajectory for trajectory in finished if trajectory is not None]


class _Attempt:
    """One trajectory under way: the agent takes turns at its task until something stops it."""

    def __init__(
        self,
        job: Job,
        place: int,
        agent: Agent,
        watch: Stopwatch,
        on_growth: Callable[[Trajectory], None] | None = None,
    ) -> None:
        """
        Args:
            job: What is to be made.
            place: Its number among the jobs.
            agent: Whose attempt it is.
            watch: Where to write down the time that it took.
            on_growth: Told whenever it has grown.
        """
        self.task, self.place, self.agent, self.watch = job.task, place, agent, watch
        self.made = Trajectory(task=job.task, prompt=(), replica=job.replica, seed=job.seed)
        self.grown = on_growth or (lambda made: None)
        self.worked: Counter[str] = Counter()  # calls carried out, by tool

    async def run(self) -> Trajectory:
        """The trajectory, from the opening to the end; a fault is written down in it."""
        made = self.made
        try:
            await self._open()
            self.grown(made)
            while made.stop is None:
                await self._take_turn()
        except Fault as fault:
            made.faults.append(str(fault))
            made.stop = "fault"
        return share_ids(made)  # thousands of them may wait for their update

    async def _open(self) -> None:
        agent, clips = self.agent, self.task.clips
        facts = [await asyncio.to_thread(agent.world.describe, clip) for clip in clips]
        shown = [await agent.overview.of(clip, agent.world) for clip in clips] if agent.overview else []
        self.made.prompt = agent.dialect.opening(self.task, facts, tools=agent.tools, shown=shown)
        if agent.engine.renderer is not None:
            self.made.prompt_ids = agent.engine.renderer.opening(self.made.prompt)

    async def _take_turn(self) -> None:
        """One message of the model and what follows from it."""
        made, agent, limits = self.made, self.agent, self.agent.limits
        room = limits.total_tokens - self._used()
        if room <= 0:
            made.stop = "token_limit"
            return
        began = time.perf_counter()
        said = await agent.engine.write(
            self._context(),
            Sampling(
                temperature=agent.temperature,
                max_tokens=min(limits.turn_tokens, room),
                seed=derive_seed(made.seed, made.rounds),
            ),
        )
        self.watch.writing += time.perf_counter() - began
        made.faults += said.faults
        parsed = agent.dialect.parse(said.text)
        if not agent.tools and agent.dialect.bare_answers and parsed.answer is None:
            # It can do nothing else.
            parsed = Parsed(answer=said.text.strip() or None)
        turn = Turn(
            text=said.text,
            token_ids=list(said.token_ids),
            logprobs=list(said.logprobs),
            weight_version=said.weight_version,
            cut=said.cut,
            calls=parsed.calls,
        )
        made.turns.append(turn)
        self.grown(made)
        if parsed.answer is not None:
            made.answer, made.stop = parsed.answer, "answered"
        elif not parsed.calls and parsed.problem is None:
            short_of_room = said.cut and room < limits.turn_tokens
            made.stop = "token_limit" if short_of_room else "turn_cut" if said.cut else "no_action"
        else:
            last = made.rounds >= limits.turns
            if not last or limits.last_call:
                await self._observe(turn, parsed)
            if last:
                made.stop = "turn_limit"

    async def _observe(self, turn: Turn, parsed: Parsed) -> None:
        """Run the calls of a turn and append what they found: text and frames together, or not at all."""
        began, before, limits = time.perf_counter(), self.made.messages, self.agent.limits
        findings: list[Findings] = []
        problems = [parsed.problem] if parsed.problem else []
        room = limits.total_tokens - limits.turn_tokens - self._used() - self._bare_observation()
        for call in parsed.calls:
            try:
                found = await self._carry_out(call, room)
            except ToolError as mistake:
                problems.append(str(mistake))
            else:
                findings.append(found)
                room -= found.tokens + self._tokens_of(found.words)
        self.watch.looking += time.perf_counter() - began
        observation = Observation(
            parts=self.agent.dialect.observation(self.task, findings, problems),
            error="; ".join(problems) or None,
            frames_cut=sum(found.frames_cut for found in findings),
            spans=tuple(span for found in findings for span in found.spans),
            worked=len(findings),
            elsewhere=sum(found.elsewhere for found in findings),
        )
        self._append(turn, observation, before)

    async def _carry_out(self, call: ToolCall, room: int) -> Findings:
        tools = self.agent.tools
        tool = next((tool for tool in tools if tool.name == call.name), None)
        if tool is None:
            known = f"the tools are {', '.join(tool.name for tool in tools)}" if tools else "there are none"
            raise ToolError(f"there is no tool {call.name!r}; {known}")
        if tool.calls is not None and self.worked[tool.name] >= tool.calls:
            raise ToolError(f"{tool.name} can be called {often(tool.calls)}; answer with what was seen")
        found = await tool.run(call, self.task.clips, self.agent.world, room)
        self.worked[tool.name] += 1
        return found

    def _append(self, turn: Turn, observation: Observation, before: tuple[Message, ...]) -> None:
        ids: list[int] = []
        if self.agent.engine.renderer is not None:
            message = Message(role="tool", parts=observation.parts)
            ids = self.agent.engine.renderer.follow(before, message, cut=turn.cut)
        turn.observation, turn.observation_ids = observation, ids
        if self._used() >= self.agent.limits.total_tokens:
            turn.observation, turn.observation_ids = None, []
            self.made.stop = "token_limit"
        self.grown(self.made)

    def _context(self) -> Context:
        """What the engine is to go on writing."""
        return Context(
            messages=self.made.messages,
            ids=tuple(self.made.token_ids),
            pixels=self.agent.world.reader(self.task.clips),
            name=frame_names(self.task.clips, self.task.id),
            task_id=self.task.id,
            place=self.place,
        )

    def _bare_observation(self) -> int:
        """Tokens of a tool message that tells nothing, and of the chat template around it."""
        parts = self.agent.dialect.observation(self.task, (), ())
        return 16 + self._tokens_of("".join(part for part in parts if isinstance(part, str)))

    def _tokens_of(self, text: str) -> int:
        """Where no ids are kept, four characters count as one token."""
        renderer = self.agent.engine.renderer
        return renderer.count(text) if renderer else len(text) // 4

    def _used(self) -> int:
        """Tokens so far, frames expanded; without ids counted as `_tokens_of` does."""
        if self.made.prompt_ids:
            return self.made.ledger.total
        return sum(len(message.text) for message in self.made.messages) // 4 + self.made.visual_tokens
