"""A module that acts: rollouts of the policy as it is now, and the evaluation that all stages share.

Nothing is learned here. What the agent is made of (engine, dialect, tools, world, limits) is set by `base`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import lightning

from eva_lightning.dialects.base import Dialect
from eva_lightning.engines.base import Engine
from eva_lightning.metrics import trajectory_metrics
from eva_lightning.records import FrameRef, Task, Trajectory
from eva_lightning.rollout import Agent, Limits, Stopwatch, jobs_for, rollout
from eva_lightning.tools.base import Tool
from eva_lightning.video.decoder import Pixels
from eva_lightning.worlds.base import World
from modules.ranks import gathered


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
    evaluation: EvaluationConfig
    concurrency: int
    evaluated: list[Trajectory]
    phases: dict[str, float]
    iteration: int

    def act(
        self, tasks: Sequence[Task], *, attempts: int, temperature: float, seed: int, step: int
    ) -> list[Trajectory]:
        """Trajectories of the policy as it is now."""
        self.engine.policy_version = self.iteration
        agent = Agent(
            engine=self.engine,
            dialect=self.dialect,
            tools=self.tools,
            world=self.world,
            limits=self.limits,
            temperature=temperature,
        )
        jobs = jobs_for(tasks, replicas=attempts, seed=seed, step=step)
        watch = Stopwatch()
        made = asyncio.run(rollout(jobs, agent, concurrency=self.concurrency, watch=watch))
        self.phases["looking"] = watch.looking
        return made

    def pixels(self, trajectory: Trajectory) -> Callable[[FrameRef], Pixels]:
        """Reads the frames of a trajectory again."""
        clips = {clip.id: clip for clip in trajectory.task.clips}
        return lambda frame: self.world.pixels(clips[frame.clip], frame)

    def validation_step(self, tasks: Sequence[Task], batch_idx: int) -> None:
        self.evaluated += self._evaluate(tasks)

    def test_step(self, tasks: Sequence[Task], batch_idx: int) -> None:
        self.evaluated += self._evaluate(tasks)

    def on_validation_epoch_start(self) -> None:
        self.evaluated = []

    def on_test_epoch_start(self) -> None:
        self.evaluated = []

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation()

    def on_test_epoch_end(self) -> None:
        self._log_evaluation()

    def _evaluate(self, tasks: Sequence[Task]) -> list[Trajectory]:
        how = self.evaluation
        return self.act(tasks, attempts=how.attempts, temperature=how.temperature, seed=how.seed, step=0)

    def _log_evaluation(self) -> None:
        metrics = trajectory_metrics(gathered(self.evaluated), by_source=True)
        self.log_dict({f"eval/{name}": value for name, value in metrics.items()}, rank_zero_only=True)
