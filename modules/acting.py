"""A module that acts: rollouts of the policy as it is now, and the evaluation that all stages share.

Nothing is learned here. What the agent is made of (engine, dialect, tools, world, limits) is set by `base`;
an engine with a copy of the weights is kept fresh by the callback `RolloutRefresh`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import lightning

from eva_lightning.agent.config import AgentConfig, default_dialect, default_tools
from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.overview import Overview
from eva_lightning.agent.rollout import Agent, Limits, Stopwatch, jobs_for, rollout
from eva_lightning.agent.tools.base import Tool
from eva_lightning.agent.worlds.base import World
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.engines.base import Engine, RefreshedEngine
from eva_lightning.faults import UsageError
from eva_lightning.modules.ahead import Ahead
from eva_lightning.modules.contracts import Refresher
from eva_lightning.ranks import gathered
from eva_lightning.records import FrameRef, Task, Trajectory
from eva_lightning.reports.metrics import trajectory_metrics
from eva_lightning.video.decoder import Pixels


@dataclass(kw_only=True)
class EvaluationConfig:
    """How validation and test answer their questions: the same in every stage, so that stages compare."""

    temperature: float = 0.0
    """0 takes the likeliest token."""
    attempts: int = 1
    """Trajectories per question; with a temperature above 0, more of them give a steadier mean."""
    seed: int = 0
    """Dice of the evaluation."""


class ActingModule(lightning.LightningModule):
    """An agent in a Trainer: it acts, and validation and test say how well."""

    engine: Engine
    dialect: Dialect
    tools: list[Tool]
    world: World
    limits: Limits
    overview: Overview | None
    temperature: float
    evaluation: EvaluationConfig
    concurrency: int
    evaluated: list[Trajectory]
    phases: dict[str, float]
    iteration: int
    refresher: Refresher | None = None
    """Who hands new weights to an engine with a copy of them."""
    tester: Callable[[Sequence[Task]], None] | None = None
    """Has the questions of a test answered, and the answers written down; None is this module itself."""
    ahead: Ahead[Any]
    """The rollouts that are made in the background."""

    def cast(self, agent: AgentConfig) -> None:
        """What the agent is made of, but for the engine."""
        self.dialect = agent.dialect or default_dialect()
        self.tools = default_tools() if agent.tools is None else agent.tools
        self.world = agent.world or VideoWorld()
        self.overview, self.limits, self.temperature = agent.overview, agent.limits, agent.temperature

    def refreshed_by(self, refresher: Refresher | None) -> None:
        """From now on this one keeps the engine's weights fresh; None is nobody."""
        self.refresher = refresher

    def tested_by(self, tester: Callable[[Sequence[Task]], None] | None) -> None:
        """From now on the questions of a test are handed to this one; None is the module itself."""
        self.tester = tester

    @property
    def batches_ahead(self) -> int:
        """Rollouts of so many iterations to come are made while this one is learned from."""
        return 0 if self.refresher is None else self.refresher.batches_ahead

    def act(
        self, tasks: Sequence[Task], *, attempts: int, temperature: float, seed: int, step: int
    ) -> list[Trajectory]:
        """Trajectories of the policy as it is now. All ranks call it together."""
        self.prepare_engine(newest=True)
        with self.awake():
            return asyncio.run(
                self.roll_out(tasks, attempts=attempts, temperature=temperature, seed=seed, step=step)
            )

    @contextmanager
    def awake(self) -> Iterator[None]:
        """The engine, ready to write. All ranks enter and leave together."""
        with self.engine.awake():
            yield

    def prepare_engine(self, *, newest: bool) -> None:
        """Before anything is written: the engine's weights are new enough.

        With several batches ahead they may be under way meanwhile, and go on with the new weights; with one,
        nothing is.

        Args:
            newest: They must be those of the policy as it is now, not as old as the refresher permits.
        """
        if self.ahead and self.batches_ahead < 2:
            with self.phase("collect"):
                self.ahead.wait()
        if not isinstance(self.engine, RefreshedEngine):
            self.engine.policy_version = self.iteration  # it writes with the policy's own
        elif self.refresher is None:
            raise UsageError(
                f"{type(self.engine).__name__} writes with a copy of the weights, and nothing hands it the "
                "new ones: add the callback RolloutRefresh to the Trainer"
            )
        else:
            self.refresher.refresh(newest=newest)

    async def roll_out(
        self,
        tasks: Sequence[Task],
        *,
        attempts: int,
        temperature: float,
        seed: int,
        step: int,
        watch: Stopwatch | None = None,
        slots: asyncio.Semaphore | None = None,
    ) -> list[Trajectory]:
        """Trajectories written with whatever weights the engine has; it must be prepared and awake."""
        jobs = jobs_for(tasks, replicas=attempts, seed=seed, step=step)
        agent = self.agent(temperature)
        return await rollout(jobs, agent, concurrency=self.concurrency, watch=watch, slots=slots)

    def agent(self, temperature: float) -> Agent:
        """Whoever answers."""
        return Agent(
            engine=self.engine,
            dialect=self.dialect,
            tools=self.tools,
            world=self.world,
            overview=self.overview,
            limits=self.limits,
            temperature=temperature,
        )

    def answer_all(
        self,
        tasks: Sequence[Task],
        *,
        done: Container[tuple[str, int]],
        on_finish: Callable[[Trajectory], None],
    ) -> None:
        """Have these questions answered as in an evaluation.

        Those (task id, attempt) that are `done` are left out; nothing is kept here. All ranks call it
        together.
        """
        how = self.evaluation
        self.prepare_engine(newest=True)
        jobs = jobs_for(tasks, replicas=how.attempts, seed=how.seed)
        left = [job for job in jobs if (job.task.id, job.replica) not in done]
        agent = self.agent(how.temperature)
        with self.awake():
            asyncio.run(rollout(left, agent, concurrency=self.concurrency, on_finish=on_finish, keep=False))

    def drop_ahead(self) -> None:
        """End the rollouts in the background, if there are any: nobody will want them."""
        self.ahead.drop()

    def taken_back(self) -> None:
        """Other weights are read into the policy: what the engine has, and makes, of these is of no use."""
        self.drop_ahead()
        if self.refresher is not None:
            self.refresher.forget()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the seconds of a part of the iteration."""
        began = perf_counter()
        yield
        self.phases[name] = self.phases.get(name, 0.0) + perf_counter() - began

    def pixels(self, trajectory: Trajectory) -> Callable[[FrameRef], Pixels]:
        """Reads the frames of a trajectory again."""
        return self.world.reader(trajectory.task.clips)

    def validation_step(self, tasks: Sequence[Task], batch_idx: int) -> None:
        self.evaluated += self._evaluate(tasks)

    def test_step(self, tasks: Sequence[Task], batch_idx: int) -> None:
        if self.tester is not None:
            self.tester(tasks)
        else:
            self.evaluated += self._evaluate(tasks)

    def on_validation_epoch_start(self) -> None:
        self.evaluated = []

    def on_test_epoch_start(self) -> None:
        self.evaluated = []

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation()

    def on_test_epoch_end(self) -> None:
        if self.tester is None:
            self._log_evaluation()

    def _evaluate(self, tasks: Sequence[Task]) -> list[Trajectory]:
        how = self.evaluation
        return self.act(tasks, attempts=how.attempts, temperature=how.temperature, seed=how.seed, step=0)

    def _log_evaluation(self) -> None:
        metrics = trajectory_metrics(gathered(self.evaluated), by_source=True)
        self.log_dict({f"eval/{name}": value for name, value in metrics.items()}, rank_zero_only=True)
