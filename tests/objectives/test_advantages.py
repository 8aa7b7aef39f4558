"""Advantages of one group, by head."""

import pytest
import torch

from eva_lightning.objectives.advantages import (
    BatchScaledAdvantage,
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
