"""Metrics: what is logged of a set of trajectories.

The names are the same in every stage, so that stages overlay in TensorBoard.

A trajectory that a fault ended is ours, not the model's: it is counted under `faults` and left out of every
mean. One that met a fault and went on (on another server) counts like any other, and under `rescued`.
"""

from __future__ import annotations

from collections.abc import Sequence

from eva_lightning.records import Trajectory
from eva_lightning.reports.grounding import means, timed
from eva_lightning.scoring import score

LIMITED = ("turn_cut", "token_limit", "turn_limit")
"""The ends that a limit makes."""


def trajectory_metrics(trajectories: Sequence[Trajectory], *, by_source: bool = False) -> dict[str, float]:
    """Means over the sound trajectories; with `by_source` accuracy and frames of each family, too."""
    sound = [one for one in trajectories if one.stop != "fault"]
    metrics = {
        **_means(sound),
        "looked": _mean([float(one.looked) for one in sound]),
        "well_formed": _mean([float(well_formed(one)) for one in sound]),
        "answered": _mean([float(one.stop == "answered") for one in sound]),
        "truncated": _mean([float(one.stop in LIMITED) for one in sound]),
        "calls_worked": _share_that_worked(sound),
        "frames_cut": _mean([float(frames_cut(one)) for one in sound]),
        "elsewhere": _mean([float(one.elsewhere) for one in sound]),
        "written_tokens": _mean([float(one.ledger.written) for one in sound]),
        "faults": float(len(trajectories) - len(sound)),
        "rescued": float(sum(bool(one.faults) for one in sound)),
    }
    if by_source:
        for source in sorted({one.task.source for one in sound}):
            ours = _means([one for one in sound if one.task.source == source])
            told = ("accuracy", "frames", "overlap", "accuracy_grounded")
            metrics |= {f"{name}/{source or 'all'}": ours[name] for name in told if name in ours}
    return metrics


def well_formed(trajectory: Trajectory) -> bool:
    """Every turn was a call that worked or an answer."""
    observed = [turn.observation for turn in trajectory.turns if turn.observation]
    return trajectory.stop == "answered" and all(one.error is None for one in observed)


def calls_worked(trajectory: Trajectory) -> list[tuple[int, int]]:
    """Of each turn that was answered: its calls that were carried out, and its calls.

    What could not be read as a call counts as one. Where nobody counted, all of a turn's calls worked, or
    none.
    """
    counts = []
    for turn in trajectory.turns:
        if turn.observation is not None:
            calls, worked = max(len(turn.calls), 1), turn.observation.worked
            whole = 0 if turn.observation.error else calls
            counts.append((whole if worked is None else worked, calls))
    return counts


def frames_cut(trajectory: Trajectory) -> int:
    """Frames that a budget left out."""
    return sum(turn.observation.frames_cut for turn in trajectory.turns if turn.observation)


def _means(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    verdicts = [score(one.task, one.answer) for one in trajectories if one.task.answer is not None]
    return {
        "accuracy": _mean([float(verdict.correct) for verdict in verdicts]),
        **means(map(timed, verdicts)),
        "rounds": _mean([float(one.rounds) for one in trajectories]),
        "frames": _mean([float(len(one.frames)) for one in trajectories]),
        "visual_tokens": _mean([float(one.visual_tokens) for one in trajectories]),
    }


def _share_that_worked(trajectories: Sequence[Trajectory]) -> float:
    """Of all calls; 1 where there is none, for none failed."""
    asked = [pair for one in trajectories for pair in calls_worked(one)]
    calls = sum(count for _, count in asked)
    return sum(worked for worked, _ in asked) / calls if calls else 1.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
