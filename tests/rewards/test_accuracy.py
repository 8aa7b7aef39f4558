"""Accuracy is the benchmark's scorer, whole or cut at a threshold."""

import pytest

from eva_lightning.rewards.accuracy import AccuracyReward
from eva_lightning.scoring import renderings
from tests.making import task, trajectory

HALF = {"task": task(kind="interval", value=(10.0, 20.0)), "answer": "10 to 15"}  # IoU 1/2


@pytest.mark.parametrize("answer, value", [("B", 1.0), ("blue", 1.0), ("A", 0.0), (None, 0.0)])
def test_a_choice_is_right_or_wrong(answer, value):
    assert AccuracyReward().score(trajectory(answer=answer)).value == value


def test_every_way_to_write_the_gold_answer_earns_all():
    for way in renderings(task()):
        assert AccuracyReward().score(trajectory(answer=way)).value == 1.0


@pytest.mark.parametrize("threshold, value", [(None, 0.5), (0.5, 1.0), (0.51, 0.0)])
def test_a_threshold_makes_it_all_or_nothing(threshold, value):
    assert AccuracyReward(threshold=threshold).score(trajectory(**HALF)).value == value


def test_it_can_be_kept_to_some_kinds_of_answer():
    reward = AccuracyReward(kinds=["interval", "number"])
    assert reward.score(trajectory()) is None
    assert reward.score(trajectory(**HALF)).value == 0.5


@pytest.mark.parametrize(
    "kind, gold, said, value",
    [
        ("transcript", "stop here now", "stop now", 2 / 3),
        ("relative", 4.0, "3", 0.75),
        ("rounded", 3.0, "2.6", 0.5),
    ],
)
def test_the_kind_of_the_gold_answer_says_how_much_a_near_one_earns(kind, gold, said, value):
    one = trajectory(task=task(kind=kind, value=gold), answer=said)
    assert AccuracyReward().score(one).value == pytest.approx(value)


def test_answers_that_name_times_can_be_left_to_another_reward():
    grounded = trajectory(task=task(grounds=((10.0, 20.0),)), answer="10 to 20, B")
    assert AccuracyReward().score(grounded).value == 1.0
    reward = AccuracyReward(timed=False)
    assert reward.score(grounded) is None and reward.score(trajectory(**HALF)) is None
    assert reward.score(trajectory()).value == 1.0
