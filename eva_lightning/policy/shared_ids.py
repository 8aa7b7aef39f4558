"""Shared ids: many trajectories in memory, whose token ids are the same numbers, not copies of them.

Python makes an object of 28 bytes of every id above 256; most of what a waiting trajectory takes would be
those. Nothing is changed but which objects a list points at.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from eva_lightning.records import Trajectory

WORDS = 2**18
"""Ids that are shared: those of any vocabulary. Together they take 10 MB, once a process."""


def share_ids(trajectory: Trajectory) -> Trajectory:
    """The same trajectory; its ids take 8 bytes each, not 36."""
    trajectory.prompt_ids = _shared(trajectory.prompt_ids)
    for turn in trajectory.turns:
        turn.token_ids, turn.observation_ids = _shared(turn.token_ids), _shared(turn.observation_ids)
    return trajectory


def _shared(ids: Sequence[int]) -> list[int]:
    numbers = _numbers()
    if ids and not 0 <= min(ids) <= max(ids) < WORDS:
        return list(ids)
    return [numbers[token] for token in ids]


@cache
def _numbers() -> list[int]:
    return list(range(WORDS))
