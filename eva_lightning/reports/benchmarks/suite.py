"""A suite: several benchmarks that are one in print, told by the plain mean over them.

Arithmetic and text only. A benchmark counts by the mean value of its answers (right or wrong, an overlap, a
judge's points), each as much as any other whatever its number of questions; where one has no answers the mean
says over how many it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from eva_lightning.faults import UsageError
from eva_lightning.reports.summary import table

OVERALL = "overall"


@dataclass(frozen=True, kw_only=True)
class PublishedSuite:
    """What somebody reported for a suite, in percent."""

    overall: float | None = None
    """The mean over all benchmarks."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """The means over groups of them, or of a single one, by name."""
    source: str = ""
    """Where it was reported."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Benchmarks that belong together: all that are asked in one test."""

    name: str
    """Name in tables."""
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    """Benchmarks whose mean is told, too, by the name of their group."""
    published: Mapping[str, PublishedSuite] = field(default_factory=dict)
    """Rows of others, by the name of their system."""

    def check(self, benchmarks: list[str]) -> None:
        """UsageError if a group names a benchmark that is not asked."""
        for group, members in self.groups.items():
            strange = [name for name in members if name not in benchmarks]
            if strange or not members:
                named = strange[0] if strange else "nothing"
                raise UsageError(f"{self.name}: group {group} names {named!r}, which is no benchmark here")


def suite_means(suite: Suite, values: Mapping[str, float | None]) -> dict[str, float]:
    """The mean over each group and over all, of benchmarks that have answers; none for those without any.

    >>> suite_means(Suite(name="s", groups={"ab": ["a", "b"]}), {"a": 0.5, "b": 0.25, "c": None})
    {'ab': 0.375, 'overall': 0.375}
    """
    told = {}
    for group, members in [*suite.groups.items(), (OVERALL, list(values))]:
        known = [value for name in members if (value := values.get(name)) is not None]
        if known:
            told[group] = sum(known) / len(known)
    return told


def suite_report(suite: Suite, values: Mapping[str, float | None], counts: Mapping[str, int]) -> str:
    """Every benchmark, the groups and the whole, beside what others reported."""
    means = suite_means(suite, values)
    known = sum(value is not None for value in values.values())
    over = "" if known == len(values) else f" (over {known} of {len(values)})"
    rows = [
        [name, str(counts[name]), _percent(value), *_others(suite, name)] for name, value in values.items()
    ]
    for group, members in suite.groups.items():
        if group not in values:
            asked = str(sum(counts[name] for name in members))
            rows.append([group, asked, _percent(means.get(group)), *_others(suite, group)])
    whole = [_percent(one.overall, 1.0) for one in suite.published.values()]
    rows.append([OVERALL + over, str(sum(counts.values())), _percent(means.get(OVERALL)), *whole])
    heads = (suite.name, "questions", "this policy", *(f"{name} (published)" for name in suite.published))
    sources = [f"{name}: {one.source}" for name, one in suite.published.items() if one.source]
    return "\n\n".join([table(heads, rows), *sources])


def _others(suite: Suite, name: str) -> list[str]:
    return [_percent(one.parts.get(name), 1.0) for one in suite.published.values()]


def _percent(value: float | None, scale: float = 100.0) -> str:
    return "-" if value is None else f"{value * scale:.2f}%"
