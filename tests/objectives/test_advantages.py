"""Advantages of one group, by head."""

import random

import pytest
import torch

from eva_lightning.objectives.advantages import (
    BatchScaledAdvantage,
    DGRPOAdvantage,
    DrGRPOAdvantage,
    GRPOAdvantage,
    RLOOAdvantage,
)

ONE_IN_FOUR = [1.0, 0.0, 0.0, 0.0]  # mean 1/4, deviation 1/2


@pytest.mark.parametrize(
    "advantage, expected",
    [
        (GRPOAdvantage(epsilon=0.0), [1.5, -0.5, -0.5, -0.5]),
        (GRPOAdvantage(epsilon=0.5), [0.75, -0.25, -0.25, -0.25]),
        (DrGRPOAdvantage(), [0.75, -0.25, -0.25, -0.25]),
        (RLOOAdvantage(), [1.0, -1 / 3, -1 / 3, -1 / 3]),
        (BatchScaledAdvantage(epsilon=0.0), [1.5, -0.5, -0.5, -0.5]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_right_in_four(advantage, expected):
    assert advantage(ONE_IN_FOUR) == pytest.approx(expected)
    assert sum(advantage(ONE_IN_FOUR)) == pytest.approx(0.0)


def test_the_deviation_is_torchs():
    rewards = [0.3, 1.05, 0.0, 0.55, 0.05]
    tensor = torch.tensor(rewards, dtype=torch.float64)
    expected = (tensor - tensor.mean()) / (tensor.std() + 1e-4)
    assert GRPOAdvantage()(rewards) == pytest.approx(expected.tolist())


def test_a_batch_scale_is_shared_by_all_groups():
    easy, hard = [1.0, 1.0, 1.0, 0.0], ONE_IN_FOUR
    first, second = BatchScaledAdvantage(epsilon=0.0).over([easy, hard])
    scale = torch.tensor(easy + hard).std().item()
    assert first == pytest.approx([0.25 / scale] * 3 + [-0.75 / scale])
    assert second == pytest.approx([0.75 / scale] + [-0.25 / scale] * 3)


def test_the_others_see_one_group_at_a_time():
    assert DrGRPOAdvantage().over([[1.0, 0.0], [5.0, 1.0]]) == [[0.5, -0.5], [2.0, -2.0]]


def test_equal_rewards_are_worth_nothing_and_divide_by_nothing():
    assert GRPOAdvantage()([0.5, 0.5]) == [0.0, 0.0]


def test_a_single_attempt_has_no_baseline():
    with pytest.raises(ValueError, match="no others"):
        RLOOAdvantage()([1.0])


def test_an_easy_group_counts_half_and_a_hard_one_whole():
    easy, hard = [3.0, 2.0, 2.0, 2.0], ONE_IN_FOUR  # means 9/4 and 1/4
    dgrpo = DGRPOAdvantage(epsilon=0.0)
    assert dgrpo.over([easy, hard]) == [[0.75, -0.25, -0.25, -0.25], [1.5, -0.5, -0.5, -0.5]]


def thousand_groups():
    """Rewards as VITAL gives them: an IoU, 1 for the form, and half a point a call."""
    dice = random.Random(0)
    for _ in range(1000):
        some = range(dice.randrange(2, 17))
        yield [dice.random() + dice.choice((0, 1)) + dice.choice((0, 0.5, 1)) for _ in some]


def test_dgrpo_is_what_the_released_code_computes_in_a_thousand_groups():
    for rewards in thousand_groups():
        scores = torch.tensor(rewards, dtype=torch.float64)
        expected = (scores - scores.mean()) / (scores.std() + 1e-6)
        expected *= (torch.clamp(2 - scores.mean(), 0, 1) + 1) / 2
        assert DGRPOAdvantage()(rewards) == pytest.approx(expected.tolist(), rel=1e-12, abs=1e-12)


def test_on_the_rewards_the_weight_is_divided_out_again():
    printed, plain = DGRPOAdvantage(weight_on="reward"), GRPOAdvantage(epsilon=1e-6)
    exact, plainly = DGRPOAdvantage(0.0, "reward"), GRPOAdvantage(epsilon=0.0)
    furthest = 0.0
    for rewards in thousand_groups():
        assert printed(rewards) == pytest.approx(plain(rewards), rel=1e-3)
        assert exact(rewards) == pytest.approx(plainly(rewards), rel=1e-9)
        pairs = zip(DGRPOAdvantage()(rewards), plain(rewards), strict=True)
        furthest = max(furthest, *(abs(a - b) for a, b in pairs))
    assert furthest > 0.5  # on the advantage it is not
