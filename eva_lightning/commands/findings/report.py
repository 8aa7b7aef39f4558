"""The report of a finding: levels of each way, effects with intervals over seeds and questions, a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from eva_lightning.commands.findings.finding import Comparison, Finding
from eva_lightning.commands.findings.trial import Trial, minutes
from eva_lightning.reports.chart import Bar, Panel, save_chart
from eva_lightning.reports.effects import Measure, Seed, effect, level
from eva_lightning.reports.estimate import Estimate
from eva_lightning.reports.summary import table

SHARES = ("accuracy", "miou", "unproven", "recall")
"""Measures between 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """An effect and whether it is what the finding says."""

    said: Comparison
    """What was compared."""
    value: Estimate
    """By how much."""

    @property
    def holds(self) -> bool:
        """Whether the interval lies on the side that was expected, and none of it on the other."""
        border = 1.0 if self.said.ratio else 0.0
        return self.value.low > border if self.said.expected == "more" else self.value.high < border


def effects_of(finding: Finding, found: Mapping[int, Mapping[str, Trial]]) -> dict[str, Effect]:
    """By name, over all seeds."""

    def seeds(way: str) -> list[Seed]:
        return [ways[way].sums for ways in found.values()]

    return {
        name: Effect(said=one, value=effect(one.measure, seeds(one.of), seeds(one.over), ratio=one.ratio))
        for name, one in finding.effects.items()
    }


def headline(finding: Finding, found: Mapping[int, Mapping[str, Trial]]) -> dict[str, Any]:
    """The first effect in a few numbers."""
    first = next(iter(effects_of(finding, found).values()))
    return {
        "effect": round(first.value.mean, 4),
        "low": round(first.value.low, 4),
        "high": round(first.value.high, 4),
        "seeds": sorted(found),
        "minutes": round(sum(minutes(ways) for ways in found.values()), 1),
        "holds": first.holds,
    }


def told(finding: Finding, found: Mapping[int, Mapping[str, Trial]]) -> str:
    """Tables of levels and effects, and what is reported elsewhere."""
    measures: Sequence[Measure] = [one for one in get_args(Measure) if one != "miou"]
    rows = [
        [way, *(_spelled(one, level(one, [ways[way].sums for ways in found.values()])) for one in measures)]
        for way in finding.ways
    ]
    lines = [finding.asks, "", table(["", *(one.replace("_", " ") for one in measures)], rows), ""]
    effects = effects_of(finding, found)
    cells = [
        [
            name,
            f"{one.said.of} {'/' if one.said.ratio else '-'} {one.said.over}",
            f"{one.value.mean:.3f}" if one.said.ratio else f"{one.value.mean:+.3f}",
            f"{one.value.low:.3f} to {one.value.high:.3f}",
            one.said.expected,
            "yes" if one.holds else "no",
        ]
        for name, one in effects.items()
    ]
    lines += [table(["effect", "of", "is", "95 %", "expected", "holds"], cells)]
    lines += [
        "",
        f"{len(found)} {'seeds' if len(found) > 1 else 'seed'}; intervals over seeds and questions.",
    ]
    return "\n".join([*lines, f"Elsewhere: {finding.paper}"] if finding.paper else lines)


def draw(path: Path, finding: Finding, found: Mapping[int, Mapping[str, Trial]]) -> None:
    """Accuracy, tokens and proof of each way, a bar each with the range of its seeds."""
    ways = list(finding.ways)

    def panel(measure: Measure) -> Panel:
        bars = []
        for number, way in enumerate(ways):
            values = [level(measure, [seed[way].sums]) for seed in found.values()]
            mean = sum(values) / len(values)
            bars.append(Bar(series=number, value=mean, low=min(values), high=max(values)))
        top = 1.0 if measure in SHARES else None
        return Panel(
            title=measure.replace("_", " "),
            groups=[("", bars)],
            spell=lambda value: _spelled(measure, value),
            top=top,
        )

    rows: list[list[Measure]] = [["accuracy", "unproven", "visual_tokens"]]
    save_chart(path, ways, [[panel(one) for one in row] for row in rows])


def _spelled(measure: Measure, value: float) -> str:
    return f"{value:.3f}" if measure in SHARES else f"{value:.2f}"
