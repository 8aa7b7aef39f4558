"""A finding: ways of training that begin with one policy, and what is compared of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import yaml  # type: ignore[import-untyped]

from eva_lightning.commands.courses import COURSES
from eva_lightning.commands.courses.kits import KITS
from eva_lightning.commands.named_configs import CONFIGS
from eva_lightning.faults import UsageError
from eva_lightning.reports.effects import Measure


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of training."""

    after: str = "kto"
    """Stage of the course whose policy it begins with."""
    stages: list[str] = field(default_factory=lambda: ["grpo"])
    """Configs of the course's folder, one after the other; none ([]) asks the policy that it begins with."""
    steps: int | None = None
    """Iterations of the last one; None takes the course's."""
    open_share: float | None = None
    """Share of its training questions that have no options; None takes the course's questions."""
    kit: str | None = None
    """What the agent is shown first and can ask for (commands/courses/kits.py); None is the course's."""
    words: list[str] = field(default_factory=list)
    """Further words for `eva fit` of the last one; {world} is the folder of the world."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What one way has more than another."""

    measure: Measure
    """What is compared."""
    of: str
    """A way."""
    over: str
    """The way that it is held against."""
    ratio: bool = False
    """How many times as much, and not how much more."""
    expected: Literal["more", "less"] = "more"
    """What the finding says of it."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that a paper reports, or that you believe."""

    name: str
    """A word."""
    asks: str
    """The question, in a sentence."""
    paper: str = ""
    """What is reported elsewhere."""
    course: Literal["eva", "vital", "search"] = "search"
    """What is taught. Not agentcvr: of questions across clips nobody knows what frames prove."""
    ways: dict[str, Way]
    """By name."""
    effects: dict[str, Comparison]
    """What is compared, by name; the first decides whether the finding holds."""


def shipped(name: str) -> Finding:
    """A finding of configs/tunnel/."""
    said = yaml.safe_load((CONFIGS / "tunnel" / f"{name}.yaml").read_text())["finding"]
    ways = {way: Way(**one) for way, one in said.pop("ways").items()}
    effects = {effect: Comparison(**one) for effect, one in said.pop("effects").items()}
    return Finding(ways=ways, effects=effects, **said)


def refuse(finding: Finding) -> None:
    """UsageError for what can not be tried."""
    stages = COURSES[finding.course].steps
    for name, way in finding.ways.items():
        for stage in (way.after, *way.stages):
            if stage not in stages:
                known = ", ".join(stages)
                raise UsageError(f"way {name}: {stage!r} is no stage of {finding.course}; there are {known}")
        if way.kit is not None and (way.kit not in KITS or finding.course != "search"):
            raise UsageError(f"way {name}: kit is {way.kit!r}; of search there are {', '.join(KITS)}")
        if way.open_share is not None and not 0 <= way.open_share <= 1:
            raise UsageError(f"way {name}: open_share is {way.open_share:g}: want a share between 0 and 1")
        if way.steps is not None and way.steps < 1:
            raise UsageError(f"way {name}: steps is {way.steps}: want 1 or more")
    if not finding.effects:
        raise UsageError(f"finding {finding.name} compares nothing: give it effects")
    for name, one in finding.effects.items():
        for side in (one.of, one.over):
            if side not in finding.ways:
                known = ", ".join(finding.ways)
                raise UsageError(f"effect {name}: there is no way {side!r}; there are {known}")
