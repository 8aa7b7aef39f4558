"""Runs side by side: what each stage brought, with intervals that say what is chance. Arithmetic only.

Intervals are those of estimate.py, over tasks. Two runs are compared on the tasks they share, task by task.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eva_lightning.faults import UsageError
from eva_lightning.files.store import read
from eva_lightning.records import Trajectory
from eva_lightning.reports.estimate import Estimate, around, over_tasks, resamples
from eva_lightning.reports.grounding import OVERLAPS, TIMED, timed
from eva_lightning.scoring import score

MEASURES = ("accuracy", "rounds", "frames", "visual tokens")
"""What is compared, always."""

FLIPS = 4000
"""Draws of signs for a p value."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One stage, as it was evaluated."""

    name: str
    """How it is called in tables."""
    evaluations: tuple[tuple[int, tuple[Trajectory, ...]], ...]
    """Iteration and trajectories of each evaluation, in order."""

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """The latest evaluation, without what a fault ended."""
        return tuple(one for one in self.evaluations[-1][1] if one.stop != "fault")

    @property
    def faults(self) -> int:
        """Trajectories of the latest evaluation that a fault ended."""
        return len(self.evaluations[-1][1]) - len(self.trajectories)

    @property
    def families(self) -> list[str]:
        return sorted({one.task.source for one in self.trajectories})


def read_run(path: str | Path, *, at: int | None = None) -> Run:
    """A run from a JSONL file of trajectories, or from a folder that a stage has written its evaluations to.

    A number at the end of a file's name is the iteration it was made at (validate-000120.jsonl). Files of one
    iteration belong together (several benchmarks, several ranks); an attempt that is in two of them counts
    once. A folder of `eva test` without evaluations is read from its benchmarks. With `at`, no file of
    another iteration is read.
    """
    path = Path(path)
    dated = {path: 0} if path.is_file() else {file: _iteration(file) for file in _evaluation_files(path)}
    files = {file: step for file, step in dated.items() if at in (None, step)}
    if not files:
        raise UsageError(
            f"{path}: neither a JSONL file nor a folder with evaluations/*.jsonl or benchmarks/*/; name an "
            "evaluated run"
        )
    by_iteration: dict[int, dict[tuple[str, int], Trajectory]] = {}
    for file, step in files.items():
        attempts = by_iteration.setdefault(step, {})
        attempts |= {(one.task.id, one.replica): one for one in _graded(file)}
    evaluations = tuple((step, tuple(ones.values())) for step, ones in sorted(by_iteration.items()))
    return Run(name=path.stem if path.is_file() else path.resolve().name, evaluations=evaluations)


def _evaluation_files(folder: Path) -> list[Path]:
    """Those of the folder itself, or of the logs in it: a run taken up again has several versions."""
    found = [*folder.glob("evaluations/*.jsonl"), *folder.glob("*/version_*/evaluations/*.jsonl")]
    benchmarks = sorted(folder.glob("benchmarks/*/trajectories*.jsonl"))  # of eva test
    return sorted(found, key=lambda file: (version_of(file.parent.parent.name), file.name)) or benchmarks


def _iteration(file: Path) -> int:
    """0 where its name has none; what another rank made says so behind it (validate-000120.rank1.jsonl)."""
    number = re.search(r"(\d+)(\.rank\d+)?$", file.stem)
    return int(number.group(1)) if number else 0


def version_of(name: str) -> int:
    """The number of a log's folder (version_3); -1 for any other name."""
    number = re.fullmatch(r"version_(\d+)", name)
    return int(number.group(1)) if number else -1


def _graded(file: Path) -> list[Trajectory]:
    made = read(file, Trajectory)
    ungraded = next((one for one in made if one.task.answer is None), None)
    if ungraded is not None:
        raise UsageError(f"{file}: task {ungraded.task.id!r} has no gold answer; there is nothing to compare")
    if all(one.stop == "fault" for one in made):
        raise UsageError(f"{file}: holds no trajectory without a fault; evaluate again")
    return made


def measures(runs: Sequence[Run]) -> tuple[str, ...]:
    """What is compared of these runs: overlaps, too, where a task asks for an interval."""
    asked = any(_value(one, "overlap") is not None for run in runs for one in run.trajectories)
    return (*MEASURES[:1], *(OVERLAPS if asked else ()), *MEASURES[1:])


def estimate(trajectories: Sequence[Trajectory], measure: str) -> Estimate | None:
    """Mean of a measure over the trajectories that have it, its interval over tasks; None if none has."""
    tasks = _by_task(trajectories, measure)
    return over_tasks(tasks) if tasks else None


def difference(of: Run, to: Run, measure: str) -> Estimate | None:
    """How much more of a measure one run has than another, on the tasks of both; None if they share none."""
    ours, theirs = _by_task(of.trajectories, measure), _by_task(to.trajectories, measure)
    shared = [task for task in ours if task in theirs]
    if not shared:
        return None
    gaps = np.array([float(np.mean(ours[task]) - np.mean(theirs[task])) for task in shared])
    return around(float(gaps.mean()), gaps[resamples(len(shared))].mean(1))


def chance(of: Run, to: Run, family: str | None = None, measure: str = "accuracy") -> float | None:
    """How likely a gap in a measure at least as large is if the runs were equally good (two-sided p).

    On the questions of both, the sign of each question's gap is drawn by lot. None if they share no question.
    """
    ours, theirs = (
        _by_task([one for one in run.trajectories if family in (None, one.task.source)], measure)
        for run in (of, to)
    )
    gaps = np.array([np.mean(ours[task]) - np.mean(theirs[task]) for task in ours if task in theirs])
    if not len(gaps):
        return None
    gaps = gaps[gaps != 0]
    signs = np.random.default_rng(0).integers(0, 2, size=(FLIPS, len(gaps))) * 2 - 1
    as_large = np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-9
    return float((as_large.sum() + 1) / (FLIPS + 1))


Cells = list[list[str]]
"""A table as rows of words; the first row is its header."""


def as_markdown(cells: Cells) -> str:
    """A table as Markdown."""
    rows = [cells[0], ["---"] * len(cells[0]), *cells[1:]]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def stage_cells(runs: Sequence[Run]) -> Cells:
    """A row a run: its measures, and what its accuracy gained over the first run, and whether by chance."""
    compared = measures(runs)
    rows = [["", "tasks", *compared, "gain", "p", "faults"]]
    for run in runs:
        cells = [spelled(estimate(run.trajectories, measure), measure) for measure in compared]
        gained = None if run is runs[0] else difference(run, runs[0], "accuracy")
        luck = None if run is runs[0] else chance(run, runs[0])
        count = len({one.task.id for one in run.trajectories})
        rows.append([run.name, str(count), *cells, _signed(gained), _likely(luck), str(run.faults)])
    return rows


def family_cells(runs: Sequence[Run], measure: str = "accuracy") -> Cells:
    """A row a family of questions (or benchmark): a measure of each run, and p against the first.

    Families that have no such measure are left out.
    """
    rows = [[measure, *_with_p([run.name for run in runs])]]
    for family in sorted({family for run in runs for family in run.families}):
        cells, found = [family or "all"], list[Estimate | None]()
        for run in runs:
            ones = [one for one in run.trajectories if one.task.source == family]
            found.append(estimate(ones, measure))
            cells.append(spelled(found[-1], measure))
            if run is not runs[0]:
                cells.append(_likely(chance(run, runs[0], family, measure)))
        if any(found):
            rows.append(cells)
    return rows


def grounding_cells(runs: Sequence[Run]) -> Cells:
    """A row for each measure of answers that name times: that of each run, and p against the first one.

    The header alone where no task asks for times.
    """
    rows = [["times", *_with_p([run.name for run in runs])]]
    for measure in TIMED:
        cells, found = [measure], list[Estimate | None]()
        for run in runs:
            found.append(estimate(run.trajectories, measure))
            cells.append(spelled(found[-1], measure))
            if run is not runs[0]:
                cells.append(_likely(chance(run, runs[0], measure=measure)))
        if any(found):
            rows.append(cells)
    return rows


def _with_p(names: Sequence[str]) -> list[str]:
    return [*names[:1], *(word for name in names[1:] for word in (name, "p"))]


def _likely(p: float | None) -> str:
    return "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def is_share(measure: str) -> bool:
    """Whether a measure lies between 0 and 1."""
    return measure in ("accuracy", *TIMED)


def spelled(value: Estimate | None, measure: str) -> str:
    """A number and its interval, as a table shows it.

    >>> spelled(Estimate(mean=0.5, low=0.25, high=0.75), "accuracy")
    '50.0% (25-75)'
    >>> spelled(Estimate(mean=12.34, low=11.0, high=13.5), "frames")
    '12.3 (11.0-13.5)'
    """
    if value is None:
        return "-"
    if is_share(measure):
        return f"{value.mean:.1%} ({value.low * 100:.0f}-{value.high * 100:.0f})"
    digits = 0 if measure == "visual tokens" else 1 if measure == "frames" else 2
    return f"{value.mean:.{digits}f} ({value.low:.{digits}f}-{value.high:.{digits}f})"


def _signed(gained: Estimate | None) -> str:
    if gained is None:
        return "-"
    return f"{gained.mean * 100:+.1f} ({gained.low * 100:+.0f} to {gained.high * 100:+.0f})"


def _by_task(trajectories: Sequence[Trajectory], measure: str) -> dict[str, list[float]]:
    tasks: dict[str, list[float]] = {}
    for one in trajectories:
        value = _value(one, measure)
        if value is not None:
            tasks.setdefault(one.task.id, []).append(value)
    return tasks


def _value(one: Trajectory, measure: str) -> float | None:
    if measure == "accuracy":
        return float(score(one.task, one.answer).correct)
    if measure in TIMED:
        gold = one.task.answer
        if gold is None or not gold.intervals:  # seen first: to score a long text takes its time
            return None
        return timed(score(one.task, one.answer)).get(measure)
    return float(
        {"rounds": one.rounds, "frames": len(one.frames), "visual tokens": one.visual_tokens}[measure]
    )
