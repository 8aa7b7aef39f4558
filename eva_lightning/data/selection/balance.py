"""Balance: fewer of the commoner mark, so that good trajectories make up a wanted share. It marks nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from eva_lightning.agent.rollout import derive_seed
from eva_lightning.records import Trajectory


def thinned(marked: Sequence[Trajectory], share: float, seed: int = 0) -> list[Trajectory]:
    """What is left, in the same order, once `share` of it is good, as nearly as whole trajectories allow.

    Every task keeps one trajectory of the commoner mark before any keeps two. Which ones those are follows
    from the seed and from task and attempt, not from the order of the files.
    """
    good, bad = (sum(one.desirable is mark for one in marked) for mark in (True, False))
    if not good or not bad:
        return list(marked)
    most_good, most_bad = round(bad * share / (1 - share)), round(good * (1 - share) / share)
    if good > most_good:
        keep = _spread(marked, True, max(most_good, 1), seed)
    else:
        keep = _spread(marked, False, max(most_bad, 1), seed)
    return [one for place, one in enumerate(marked) if place in keep]


def _spread(marked: Sequence[Trajectory], commoner: bool, count: int, seed: int) -> set[int]:
    """Places of all of the rarer mark, and of `count` of the commoner one, over as many tasks as can be."""

    def dice(place: int) -> int:
        return derive_seed(seed, marked[place].task.id, marked[place].replica)

    taken: Counter[str] = Counter()
    order: list[tuple[int, int, int]] = []
    common = [place for place, one in enumerate(marked) if one.desirable is commoner]
    for place in sorted(common, key=dice):
        task = marked[place].task.id
        order.append((taken[task], dice(place), place))
        taken[task] += 1
    rarer = {place for place, one in enumerate(marked) if one.desirable is not commoner}
    return rarer | {place for _, _, place in sorted(order)[:count]}
