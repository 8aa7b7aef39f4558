"""The summary of a set of trajectories in one line, and the table of such lines.

The means are those of metrics.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from eva_lightning.records import Trajectory
from eva_lightning.reports.grounding import OVERLAPS
from eva_lightning.reports.metrics import trajectory_metrics


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Means over the trajectories that were not stopped by a fault."""

    count: int
    """Trajectories scored: the denominator of every mean."""
    accuracy: float
    """Share answered rightly."""
    rounds: float
    """Mean messages of the model."""
    frames: float
    """Mean frames shown."""
    visual_tokens: float
    """Mean visual tokens shown."""
    overlaps: dict[str, float]
    """Mean overlap (IoU) of interval answers, and the shares that reach 0.3, 0.5 and 0.7; empty where no
    interval is asked for."""
    stops: dict[str, int]
    """How often each stop reason occurred, faults included."""

    @property
    def faults(self) -> int:
        return self.stops.get("fault", 0)


def summarize(trajectories: Sequence[Trajectory]) -> Summary:
    """The means of a set. A fault is ours, not the model's: it is counted, and left out of every mean."""
    means = trajectory_metrics(trajectories)
    return Summary(
        count=sum(one.stop != "fault" for one in trajectories),
        stops=dict(Counter(str(one.stop) for one in trajectories)),
        overlaps={name: means[name] for name in OVERLAPS if name in means},
        **{name: means[name] for name in ("accuracy", "rounds", "frames", "visual_tokens")},
    )


def by_source(trajectories: Sequence[Trajectory]) -> dict[str, list[Trajectory]]:
    """The trajectories of each data set or question family, names sorted."""
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.task.source, []).append(trajectory)
    return dict(sorted(groups.items()))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others to the right.

    >>> print(table(["agent", "n"], [["oracle", "12"]]))
    agent    n
    oracle  12
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = []
    for row in [header, *rows]:
        cells = [row[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def summary_table(rows: Sequence[tuple[str, Summary]]) -> str:
    """A line for each named set; with the overlaps where one of them has interval answers."""
    measured = [name for name in OVERLAPS if any(name in one.overlaps for _, one in rows)]
    header = ("", "questions", "accuracy", *measured, "rounds", "frames", "visual tokens", "faults")
    return table(header, [_row(name, one, measured) for name, one in rows])


def _row(name: str, summary: Summary, measured: Sequence[str]) -> list[str]:
    held = summary.overlaps
    return [
        name,
        str(summary.count),
        f"{summary.accuracy:.1%}",
        *(f"{held[measure]:.1%}" if measure in held else "-" for measure in measured),
        f"{summary.rounds:.2f}",
        f"{summary.frames:.1f}",
        f"{summary.visual_tokens:.0f}",
        str(summary.faults),
    ]
