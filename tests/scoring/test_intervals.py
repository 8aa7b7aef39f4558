"""Ranges of seconds: what a text names, and how it meets the gold ones, beside a count on a fine grid."""

import numpy as np
import pytest

from eva_lightning.scoring import score
from eva_lightning.scoring.intervals import apart, intervals_in, overlap, union
from tests.making import task

GOLD = ((0.0, 4.0), (10.0, 14.0))


@pytest.mark.parametrize(
    ("said", "iou", "precision", "recall"),
    [
        ([(0, 4), (10, 14)], 1.0, 1.0, 1.0),
        ([(10, 14), (0, 4)], 1.0, 1.0, 1.0),  # in any order
        ([(0, 2), (2, 4), (10, 14)], 1.0, 1.0, 1.0),  # touching is one
        ([(0, 3), (1, 4), (10, 14), (10, 14)], 1.0, 1.0, 1.0),  # a second counts once
        ([(0, 4)], 1 / 2, 1.0, 1 / 2),
        ([(0, 14)], 8 / 14, 8 / 14, 1.0),
        ([(4, 10)], 0.0, 0.0, 0.0),  # between them
        ([(0, 4), (10, 14), (100, 108)], 8 / 16, 8 / 16, 1.0),  # out of range, and said all the same
        ([(4, 0), (10, 14)], 1 / 2, 1.0, 1 / 2),  # backwards names no second
        ([(3, 3), (10, 14)], 1 / 2, 1.0, 1 / 2),  # empty neither
        ([(4, 0)], 0.0, 0.0, 0.0),
        ([], 0.0, 0.0, 0.0),
    ],
)
def test_the_union_of_what_was_said_meets_the_union_of_the_gold(said, iou, precision, recall):
    found = overlap(said, GOLD)
    assert (found.iou, found.precision, found.recall) == pytest.approx((iou, precision, recall))
    assert found.said == bool(union(said))


def on_a_grid(said, gold, dice_step=0.5):
    """The same by marking half seconds, as the ends of these ranges are whole or half seconds."""
    ours, theirs = np.zeros(400, bool), np.zeros(400, bool)
    for marks, ranges in ((ours, said), (theirs, gold)):
        for start, end in ranges:
            marks[int(start / dice_step) : int(end / dice_step)] = True
    both, either = (ours & theirs).sum(), (ours | theirs).sum()
    return both / max(either, 1), both / max(ours.sum(), 1), both / max(theirs.sum(), 1)


def random_ranges(dice, least):
    count = dice.integers(least, 6)
    return [tuple(float(x) / 2 for x in sorted(dice.integers(0, 400, 2))) for _ in range(count)]


def test_a_thousand_random_answers_agree_with_numpy():
    dice = np.random.default_rng(0)
    for _ in range(1000):
        said, gold = random_ranges(dice, 0), random_ranges(dice, 1)
        found = overlap(said, gold)
        assert (found.iou, found.precision, found.recall) == pytest.approx(on_a_grid(said, gold))


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("12.5 to 20", [(12.5, 20.0)]),
        ("The event happens in 00:12 - 00:20.5 seconds", [(12.0, 20.5)]),
        ("[[1, 2], [3, 4.5]]", [(1.0, 2.0), (3.0, 4.5)]),
        ("9 to 3", [(9.0, 3.0)]),
    ],
)
def test_times_are_read_two_by_two(text, ranges):
    assert intervals_in(text) == ranges


@pytest.mark.parametrize("text", ["at 12", "1 to 2, or 3", "none", ""])
def test_an_odd_number_of_times_names_no_range(text):
    with pytest.raises(ValueError, match="does not name two times"):
        intervals_in(text)


@pytest.mark.parametrize(
    ("text", "ranges", "rest"),
    [
        ("From 3 to 7.5, B", [(3.0, 7.5)], "B"),
        ("From 3.00 to 7.50 seconds, a red car", [(3.0, 7.5)], "a red car"),
        ("between 3 and 7: B. red", [(3.0, 7.0)], "B. red"),
        ("(B) 0:03-0:07", [(3.0, 7.0)], "(B)"),
        ("B, from 3 to 7 s and 9 to 10 s.", [(3.0, 7.0), (9.0, 10.0)], "B"),
        ("[3, 7], [9, 10]: 4", [(3.0, 7.0), (9.0, 10.0)], "4"),
        ("From 3 to 7, 4", [(3.0, 7.0)], "4"),
        ("From 3 to 7, 4 to 5 cups", [(3.0, 7.0)], "4 to 5 cups"),  # the first ones are the time
        ("B at 3", [], "B at 3"),
        ("12 cups", [], "12 cups"),
    ],
)
def test_a_time_and_an_answer_are_told_apart(text, ranges, rest):
    assert apart(text) == (ranges, rest)


def test_a_grounded_answer_counts_both_halves():
    one = task(value="B", grounds=((10.0, 20.0),))
    both, late, other, bare = (score(one, said) for said in ("10 to 20, B", "15 to 35, B", "10-20: A", "B"))
    assert (both.value, both.correct, both.grounded) == (1.0, True, True)
    assert late.value == pytest.approx((1 + 5 / 25) / 2)
    assert (late.correct, late.grounded, late.overlap.precision) == (True, False, 0.25)  # 5 of 20 seconds
    assert (other.value, other.correct, other.grounded) == (0.5, False, False)
    assert (bare.value, bare.correct, bare.grounded) == (0.5, True, False)
    assert late.reason == "chose B, gold B; 15 to 35 against 10 to 20: IoU 0.20"
    assert bare.reason == "chose B, gold B; no time against 10 to 20: IoU 0.00"


def test_several_gold_ranges_are_scored_by_their_union():
    one = task("interval", GOLD)
    assert score(one, "0 to 4 and 10 to 14").value == 1.0
    assert score(one, "0 to 14").value == pytest.approx(8 / 14)
    assert score(one, "0-4, 9-8").value == 0.5
    assert score(one, "9-8").reason == "9 to 8 is no interval"
    assert score(one, "1 to 4").reason == "1 to 4 against 0 to 4 and 10 to 14: IoU 0.38"
