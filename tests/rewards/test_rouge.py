"""ROUGE is for open questions."""

import pytest

from eva_lightning.rewards.rouge import RougeReward
from tests.making import task, trajectory

TEXT = task(kind="text", value="a red circle")


def test_numbers_one_can_check_by_head():
    # "a red square": 2 of 3 words, 1 of 2 pairs, 2 of 3 in order
    score = RougeReward(weight=0.5).score(trajectory(task=TEXT, answer="a red square"))
    assert score.value == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert score.weight == 0.5 and "ROUGE" in score.reason


@pytest.mark.parametrize("answer, value", [("A red circle.", 1.0), (None, 0.0), ("moonlight", 0.0)])
def test_the_ends_of_the_scale(answer, value):
    assert RougeReward().score(trajectory(task=TEXT, answer=answer)).value == value


def test_it_does_not_apply_to_other_kinds():
    assert RougeReward().score(trajectory()) is None
    assert RougeReward().score(trajectory(task=task(kind="number", value=3.0), answer="3")) is None
