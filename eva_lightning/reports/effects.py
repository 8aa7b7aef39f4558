"""An effect is what one way of training changes against another, with its interval over seeds and questions.

Every way was trained on the same seeds and asked the same questions, so both sides of a resample are drawn
together: first seeds, then the questions of each. The attempts at a question stay together. Of a measure that
is itself a ratio (right answers that rest on nothing), sums are divided, and not the questions' ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eva_lightning.records import Trajectory
from eva_lightning.reports.estimate import DRAWS, Estimate, around
from eva_lightning.scoring import score

Measure = Literal["accuracy", "miou", "frames", "visual_tokens", "rounds", "unproven", "recall", "per_token"]
"""Share of right answers | mean overlap of the intervals answered | frames, visual tokens and rounds of an
attempt | share of the right answers that the frames shown do not prove | share of the evidence that was met,
of right answers | right answers for each 100 visual tokens."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What the attempts at one question add up to."""

    attempts: float
    """Attempts that no fault ended."""
    right: float
    """Those answered rightly."""
    value: float
    """What their answers are worth: overlap, where an interval is asked for."""
    proven: float
    """Right ones whose frames prove the answer."""
    met: float
    """Of right ones, the shares of the evidence that was met."""
    frames: float
    """Frames shown."""
    visual_tokens: float
    """Visual tokens shown."""
    rounds: float
    """Messages of the model."""


def summed(trajectories: Sequence[Trajectory], proves: Callable[[Trajectory], bool]) -> dict[str, Sums]:
    """By the id of each question; `proves` tells whether what was shown proves the answer."""
    made: dict[str, list[tuple[float, ...]]] = {}
    for one in trajectories:
        if one.stop == "fault":
            continue
        verdict = score(one.task, one.answer)
        right = float(verdict.correct)
        met = len(one.evidence_met) / len(one.task.evidence) if one.task.evidence else 1.0
        made.setdefault(one.task.id, []).append(
            (
                1.0,
                right,
                verdict.value,
                right * proves(one) if right else 0.0,
                right * met,
                float(len(one.frames)),
                float(one.visual_tokens),
                float(one.rounds),
            )
        )
    names = list(Sums.__dataclass_fields__)
    return {
        task: Sums(**dict(zip(names, map(sum, zip(*rows, strict=True)), strict=True)))
        for task, rows in made.items()
    }


Seed = Mapping[str, Sums]
"""What one policy did, by question."""


def worth(measure: Measure, total: NDArray[np.float64]) -> NDArray[np.float64]:
    """A measure of sums whose last axis is that of `Sums`; of nothing it is 0."""
    attempts, right, value, proven, met, frames, tokens, rounds = np.moveaxis(total, -1, 0)
    above, below = {
        "accuracy": (right, attempts),
        "miou": (value, attempts),
        "frames": (frames, attempts),
        "visual_tokens": (tokens, attempts),
        "rounds": (rounds, attempts),
        "unproven": (right - proven, right),
        "recall": (met, right),
        "per_token": (100 * right, tokens),
    }[measure]
    made: NDArray[np.float64] = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return made


def level(measure: Measure, seeds: Sequence[Seed]) -> float:
    """The mean over seeds."""
    return float(np.mean([worth(measure, _rows(one, sorted(one)).sum(0)) for one in seeds]))


def effect(measure: Measure, of: Sequence[Seed], over: Sequence[Seed], *, ratio: bool = False) -> Estimate:
    """What `of` has more than `over`, seed by seed; with `ratio`, how many times as much.

    Only questions that both sides were asked count. ValueError if a seed has none.
    """
    pairs = []
    for ours, theirs in zip(of, over, strict=True):
        shared = sorted(ours.keys() & theirs.keys())
        if not shared:
            raise ValueError("there is no question that both were asked")
        pairs.append((_rows(ours, shared), _rows(theirs, shared)))
    whole = _compared(measure, [(ours.sum(0), theirs.sum(0)) for ours, theirs in pairs], ratio)
    return around(whole, np.array([_compared(measure, drawn, ratio) for drawn in _resampled(pairs)]))


Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def _resampled(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """For each draw, the totals of some seeds, and of each some questions; the same for the same counts."""
    dice = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        seeds = []
        for place in dice.integers(0, len(pairs), len(pairs)):
            ours, theirs = pairs[place]
            rows = dice.integers(0, len(ours), len(ours))
            seeds.append((ours[rows].sum(0), theirs[rows].sum(0)))
        drawn.append(seeds)
    return drawn


def _compared(measure: Measure, totals: Sequence[Pair], ratio: bool) -> float:
    """Difference or ratio of the means over seeds."""
    ours, theirs = (np.array(side) for side in zip(*totals, strict=True))
    high, low = float(worth(measure, ours).mean()), float(worth(measure, theirs).mean())
    if not ratio:
        return high - low
    return high / low if low else float("inf")


def _rows(one: Seed, tasks: Sequence[str]) -> NDArray[np.float64]:
    return np.array([astuple(one[task]) for task in tasks], dtype=np.float64)
