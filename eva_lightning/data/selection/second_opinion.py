"""Marks by rule and by a judge: no attempt is good before the judge has found that what it saw suffices.

What the judge is asked stands in `sufficiency.py`, the rules in `feedback.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from tqdm import tqdm

from eva_lightning.data.selection.feedback import FeedbackRules, Marked, mark, markable
from eva_lightning.data.selection.sufficiency import SCORE, weigh
from eva_lightning.faults import Fault
from eva_lightning.records import Trajectory
from eva_lightning.rewards.judging.judge import Judge


def judged(judge: Judge, trajectories: Sequence[Trajectory], rules: FeedbackRules) -> list[Marked]:
    """Marks by rule, where no attempt is good before the judge has found that what it saw suffices.

    What it rejects no longer counts as usual, which may turn waste into good work: that is judged, too. An
    attempt that only listened has no frames to show and keeps its mark. What the judge gave no verdict on is
    left out; if it can not be reached, a Fault says so.
    """
    ones = [_unweighed(one) for one in trajectories if markable(one)]
    with tqdm(total=0, desc="judging", unit="trajectory") as bar, judge.engine.awake():
        while True:
            marks = mark(ones, rules)
            good = [
                place for place, one in enumerate(marks) if one.cause == "good" and _unseen(one.trajectory)
            ]
            if not good:
                return marks
            bar.total += len(good)
            bar.refresh()
            weighed = asyncio.run(weigh([ones[place] for place in good], judge, bar.update))
            for place, one in zip(good, weighed, strict=True):
                ones[place] = one
            silent = [one for one in weighed if not markable(one)]
            if len(silent) == len(good):
                last = silent[-1].faults[-1].removeprefix("judge: ")
                raise Fault(f"the judge ruled on none of {len(good)} trajectories; the last: {last}")
            ones = [one for one in ones if markable(one)]


def _unweighed(one: Trajectory) -> Trajectory:
    """Without what another judge said of it."""
    return replace(one, scores={name: score for name, score in one.scores.items() if name != SCORE})


def _unseen(one: Trajectory) -> bool:
    """Whether the judge is still to see its frames."""
    return bool(one.frames) and SCORE not in one.scores
