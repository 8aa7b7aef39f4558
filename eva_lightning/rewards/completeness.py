"""Completeness self-verification (CSV): a right answer counts if what was looked at is enough to give it.

A judge gets the question, the options and frames of the trajectory, and nothing else. In EVA (2603.22918,
r_csv) it is the base model with the frames of the last round that found any; in TimeSearch-R (GRPO-CSV) the
policy itself with all frames. Right answers from too little evidence earn 0, as do answers without any
frame: a world of words shows none, and takes the accuracy reward instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.worlds.base import World
from eva_lightning.engines.base import Engine, Sampling
from eva_lightning.engines.single_turn import ask, caption, some_at_once
from eva_lightning.faults import Fault, UsageError
from eva_lightning.records import Clip, FrameRef, Part, Task, Trajectory
from eva_lightning.rewards.base import Outcome, Reward
from eva_lightning.scoring import score

Mode = Literal["last_round", "all_frames"]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a judge is shown. Equal evidence is judged once."""

    question: str
    """Question and options."""
    clips: tuple[Clip, ...]
    """Where the frames are from."""
    frames: tuple[FrameRef, ...]
    """In the order in which they were seen."""
    policy_version: int
    """Version of the judge's weights."""


class CompletenessReward(Reward):
    """1 if the agent is right and so is a judge from the frames alone, else 0. For questions with options."""

    name = "completeness"

    def __init__(
        self,
        judge: Engine | None = None,
        dialect: Dialect | None = None,
        world: World | None = None,
        mode: Mode = "last_round",
        weight: float = 1.0,
        max_tokens: int = 256,
        concurrency: int = 16,
        remember: int = 100_000,
    ) -> None:
        """
        Args:
            judge: Answers from the frames: the base model (EVA: CheckpointEngine, ServerEngine); None is the
                policy itself, as it is now (TimeSearch-R).
            dialect: How the judge spells an answer; bare letters are understood as well. None is the agent's.
            world: Reads the frames again; None is the agent's.
            mode: last_round shows the frames of the last round that found any, all_frames every frame.
            weight: Factor of the score in the total reward.
            max_tokens: Tokens the judge may write.
            concurrency: Questions under way at once.
            remember: Judgements kept, the oldest go first.
        """
        super().__init__(weight)
        self._given = judge, dialect, world
        self._lent: tuple[Engine | None, Dialect | None, World | None] = None, None, None
        self.mode: Mode = mode
        self.max_tokens = max_tokens
        self.concurrency = concurrency
        self.remember = remember
        self._known: dict[Evidence, str] = {}

    def equip(self, engine: Engine, dialect: Dialect, world: World) -> None:
        """Take what the agent acts with now.

        A fit has an engine of its own, and closes it when it is over; versions of weights count from 0 in
        each, so what another engine said is no longer known.
        """
        if self._given[0] is None and engine is not self._lent[0]:
            self._known.clear()
        self._lent = engine, dialect, world

    @property
    def judge(self) -> Engine:
        return _either(self._given[0], self._lent[0], "judge")

    @property
    def dialect(self) -> Dialect:
        return _either(self._given[1], self._lent[1], "dialect")

    @property
    def world(self) -> World:
        return _either(self._given[2], self._lent[2], "world")

    async def scores(self, trajectories: Sequence[Trajectory]) -> list[Outcome]:
        """Ask the judge about right answers with frames; the others earn 0 without a question."""
        evidence = [self._evidence(trajectory) for trajectory in trajectories]
        wanted = dict.fromkeys(one for one in evidence if one is not None)
        said: dict[Evidence, str | Fault] = {one: self._known[one] for one in wanted if one in self._known}
        said |= await self._ask_all([one for one in wanted if one not in said])
        return [
            self._judge(trajectory, None if one is None else said[one])
            for trajectory, one in zip(trajectories, evidence, strict=True)
        ]

    def _evidence(self, trajectory: Trajectory) -> Evidence | None:
        """What to show the judge; None if there is nothing to ask."""
        frames = shown(trajectory, self.mode)
        if not _applies(trajectory.task) or not frames:
            return None
        if not score(trajectory.task, trajectory.answer).correct:
            return None
        return Evidence(
            question=trajectory.task.text,
            clips=trajectory.task.clips,
            frames=frames,
            policy_version=self.judge.policy_version,
        )

    def _judge(self, trajectory: Trajectory, said: str | Fault | None) -> Outcome:
        if not _applies(trajectory.task):
            return None
        if isinstance(said, Fault):
            return said
        verdict = score(trajectory.task, trajectory.answer)
        if not verdict.correct:
            return self.give(0.0, f"agent: {verdict.reason}")
        if said is None:
            return self.give(0.0, "right, but without a frame to show for it")
        second = score(trajectory.task, said)
        count = len(shown(trajectory, self.mode))
        return self.give(float(second.correct), f"right; judge with {count} frames: {second.reason}")

    async def _ask_all(self, unknown: Sequence[Evidence]) -> dict[Evidence, str | Fault]:
        """Put all questions, `concurrency` at a time; a fault is an answer here, and is not remembered."""
        asking = [partial(self._ask, evidence, place) for place, evidence in enumerate(unknown)]
        heard = await some_at_once(self.judge, asking, self.concurrency)
        said = dict(zip(unknown, heard, strict=True))
        self._known |= {one: answer for one, answer in said.items() if not isinstance(answer, Fault)}
        while len(self._known) > self.remember:
            del self._known[next(iter(self._known))]
        return said

    async def _ask(self, evidence: Evidence, place: int) -> str | Fault:
        """What the judge answers, as the scorer reads it; empty if it asks for a tool instead."""
        pixels = self.world.reader(evidence.clips)
        sampling = Sampling(temperature=0.0, max_tokens=self.max_tokens)
        try:
            said = await ask(
                self.judge, self._prompt(evidence), pixels, sampling, clips=evidence.clips, place=place
            )
        except Fault as fault:
            return fault
        parsed = self.dialect.parse(said.text)
        if parsed.answer is None:
            return "" if parsed.calls or parsed.problem else said.text
        return parsed.answer

    def _prompt(self, evidence: Evidence) -> tuple[Part, ...]:
        several = len(evidence.clips) > 1
        parts: list[Part] = []
        for i, frame in enumerate(evidence.frames):
            parts += [caption(i, frame.time, frame.clip if several else None), frame]
        parts.append(
            f"\n{evidence.question}\nAnswer from these frames alone, with the letter of the right option: "
            f"{self.dialect.reply('letter')}"
        )
        return tuple(parts)


def shown(trajectory: Trajectory, mode: Mode) -> tuple[FrameRef, ...]:
    """The frames that are evidence: all of them, or those of the last round that found any."""
    if mode == "all_frames":
        return trajectory.frames
    rounds = [turn.observation.frames for turn in trajectory.turns if turn.observation is not None]
    return next((frames for frames in reversed(rounds) if frames), ())


def _either(given: T | None, lent: T | None, name: str) -> T:
    """What the user gave, or else what the module lent."""
    part = lent if given is None else given
    if part is None:
        raise UsageError(f"CompletenessReward has no {name}: name one, or let the module equip the rewards")
    return part


def _applies(task: Task) -> bool:
    return task.answer is not None and task.answer.kind in ("choice", "multi", "order")
