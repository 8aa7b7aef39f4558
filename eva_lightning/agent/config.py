"""AgentConfig: what an agent is made of, but for who writes; the same words in a fit and in every command.

What None stands for is said here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, is_dataclass
from typing import Any

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.overview import Overview
from eva_lightning.agent.rollout import Agent, Limits
from eva_lightning.agent.tools.base import Tool
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.worlds.base import World
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.engines.base import Engine

LOOK = FrameSelect.name
"""The tool by which the embedded world's teachers look."""


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """What an agent is made of."""

    dialect: Dialect | None = None
    """How calls and answers are spelled; None is EVA's."""
    tools: list[Tool] | None = None
    """What it can do; None is EVA's frame_select. Without any ([]) all that it writes is its answer, if its
    dialect takes bare ones."""
    world: World | None = None
    """What it perceives; None is video files."""
    overview: Overview | None = None
    """Frames before the first turn; None shows none, so that it must plan before it looks."""
    limits: Limits = field(default_factory=Limits)
    """When a trajectory must end."""
    temperature: float = 1.0
    """Of its words; 0 takes the likeliest token."""

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature:g}: want 0 or more")

    def agent(self, engine: Engine) -> Agent:
        """The agent for which this engine writes. Call it once: a world has files and threads."""
        return Agent(
            engine=engine,
            dialect=self.dialect or default_dialect(),
            tools=default_tools() if self.tools is None else self.tools,
            world=self.world or VideoWorld(),
            overview=self.overview,
            limits=self.limits,
            temperature=self.temperature,
        )

    def facts(self) -> dict[str, Any]:
        """What decides which trajectories come out, by dotted name: a run that goes on compares it."""
        tools = default_tools() if self.tools is None else self.tools
        return flat(
            {
                "dialect": _plainly(self.dialect or default_dialect()),
                "tools": [_plainly(tool) for tool in tools],
                "world": None if self.world is None else type(self.world).__name__,
                **({} if self.world is None else _named("world", self.world.facts())),
                **({"proxies": self.world.proxies} if self.world and self.world.proxies else {}),
                "overview": None if self.overview is None else vars(self.overview),
                "limits": vars(self.limits),
                "temperature": self.temperature,
            }
        )


def default_dialect(*, seconds: bool = False) -> Dialect:
    """EVA's; the embedded world says times in plain seconds, which a small model learns to copy."""
    return EvaDialect(timestamps="seconds") if seconds else EvaDialect()


def default_tools() -> list[Tool]:
    """EVA's only one."""
    return [FrameSelect()]


def _plainly(thing: object) -> dict[str, Any]:
    """A class and what it was given, as far as JSON can say it; its private matters are nobody's."""
    known = {name: _json(value) for name, value in vars(thing).items() if not name.startswith("_")}
    return {"class": type(thing).__name__} | known


def _named(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}.{key}": value for key, value in facts.items()}


def flat(facts: dict[str, Any]) -> dict[str, Any]:
    """Nested names as dotted ones.

    >>> flat({"limits": {"turns": 6}, "world": None})
    {'limits.turns': 6, 'world': None}
    """
    named: dict[str, Any] = {}
    for name, value in facts.items():
        inner = flat(value) if isinstance(value, dict) else None
        named |= {name: value} if inner is None else {f"{name}.{key}": one for key, one in inner.items()}
    return named


def _json(value: object) -> Any:
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    # Of other objects the kind alone: an address would be another one in the run that goes on.
    return _plainly(value) if is_dataclass(value) else type(value).__name__
