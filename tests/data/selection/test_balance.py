"""Thinning out the commoner mark: how many are left, which, and that the order of files does not matter."""

import pytest

from eva_lightning.data.selection.balance import thinned
from eva_lightning.objectives.kto import recommended_band
from tests.making import task, trajectory


def marked(good, bad, tasks=10):
    """So many good ones, then bad ones, in turn over the tasks."""
    return [
        trajectory(frames=0, task=task(id=f"t{i % tasks}"), replica=i // tasks, desirable=mark)
        for mark, many in ((True, good), (False, bad))
        for i in range(many)
    ]


def counts(ones):
    return tuple(sum(one.desirable is mark for one in ones) for mark in (True, False))


@pytest.mark.parametrize(
    ("good", "bad", "share", "left"),
    [
        (90, 37, 0.63, (63, 37)),
        (63, 90, 0.63, (63, 37)),
        (63, 37, 0.63, (63, 37)),
        (90, 10, 0.5, (10, 10)),
        (3, 90, 0.9, (3, 1)),  # never none
        (20, 0, 0.5, (20, 0)),
    ],
)
def test_the_commoner_mark_is_thinned_out_to_the_share(good, bad, share, left):
    assert counts(thinned(marked(good, bad), share)) == left


def test_ten_thousand_marks_come_to_eva_s_balance_and_its_band():
    good, bad = counts(thinned(marked(8000, 3700, tasks=500), 0.63))
    assert (good, bad) == (6300, 3700)
    assert recommended_band(good, bad) == pytest.approx((0.587, 0.783), abs=1e-3)


def test_every_task_keeps_one_before_any_keeps_two():
    kept = [one for one in thinned(marked(100, 12), 0.5) if one.desirable]
    numbers = sorted([one.task.id for one in kept].count(f"t{i}") for i in range(10))
    assert numbers == [1] * 8 + [2] * 2


def names(ones):
    return [(one.desirable, one.task.id, one.replica) for one in ones]


def test_what_is_kept_depends_on_the_seed_and_not_on_the_order_of_the_files():
    whole = marked(100, 12)
    kept = thinned(whole, 0.5)
    assert set(names(kept)) == set(names(thinned(whole[::-1], 0.5)))
    assert names(kept) == [name for name in names(whole) if name in set(names(kept))], (
        "in the order of before"
    )
    assert set(names(kept)) != set(names(thinned(whole, 0.5, seed=1)))
