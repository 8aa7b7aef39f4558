"""What a set of trajectories says in one line, and the table of such lines. The means are those of
metrics.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from eva_lightning.records import Trajectory
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


def summary_row(name: str, summary: Summary) -> list[str]:
    """One row under SUMMARY_HEADER."""
    return [
        name,
        str(summary.count),
        f"{summary.accuracy:.1%}",
        f"{summary.rounds:.2f}",
        f"{summary.frames:.1f}",
        f"{summary.visual_tokens:.0f}",
        str(summary.faults),
    ]


SUMMARY_HEADER = ("", "questions", "accuracy", "rounds", "frames", "visual tokens", "faults")
