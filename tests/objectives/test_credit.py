"""Who is learned from: faults leave their group, groups without contrast leave the step, all are counted."""

import pytest

from eva_lightning.objectives.advantages import BatchScaledAdvantage, DrGRPOAdvantage
from eva_lightning.objectives.credit import credit, groups_of
from eva_lightning.records import Score
from tests.making import task, trajectory

A, B = task(id="a"), task(id="b")


def attempt(reward, of=A, **fields):
    """A finished attempt; a reward of None is a fault."""
    if reward is None:
        return trajectory(task=of, stop="fault", faults=["v.mp4: is not a video"], **fields)
    return trajectory(task=of, scores={"accuracy": Score(value=reward)}, **fields)


def group(*rewards, of=A):
    return [attempt(reward, of) for reward in rewards]


def advantages(trajectories):
    return [one.advantage for one in trajectories]


def test_one_right_in_four():
    first = group(1.0, 0.0, 0.0, 0.0)
    report = credit([first], DrGRPOAdvantage())
    assert advantages(first) == [0.75, -0.25, -0.25, -0.25]
    assert report.kept == tuple(first) and report.rewards == (1.0, 0.0, 0.0, 0.0)
    assert (report.groups, report.zero_variance, report.too_small, report.faults) == (1, 0, 0, 0)


def test_the_reward_is_the_weighted_sum():
    first = group(1.0, 1.0)
    first[1].scores["format"] = Score(value=1.0, weight=0.5)
    credit([first], DrGRPOAdvantage())
    assert advantages(first) == [-0.25, 0.25]


def test_a_fault_leaves_its_group_and_does_not_count_as_zero():
    first = group(1.0, None, 0.0)
    report = credit([first], DrGRPOAdvantage())
    assert advantages(first) == [0.5, None, -0.5]
    assert report.faults == 1 and report.rewards == (1.0, 0.0)
    assert first[1] not in report.kept


@pytest.mark.parametrize("rewards", [(1.0, 1.0, 1.0), (0.0, 0.0), (0.1 + 0.2, 0.3), (0.5, None, 0.5)])
def test_a_group_without_contrast_is_dropped_and_counted(rewards):
    first, second = group(*rewards), group(1.0, 0.0, of=B)
    report = credit([first, second], DrGRPOAdvantage())
    assert advantages(first) == [None] * len(rewards)
    assert advantages(second) == [0.5, -0.5]
    assert report.zero_variance == 1 and report.kept == tuple(second)
    assert report.zero_variance_share == 0.5


@pytest.mark.parametrize("rewards", [(1.0,), (1.0, None), (None, None), ()])
def test_a_group_with_nobody_to_compare_with_is_dropped_and_counted(rewards):
    first = group(*rewards)
    report = credit([first], DrGRPOAdvantage())
    assert advantages(first) == [None] * len(rewards)
    assert report.too_small == 1 and report.zero_variance == 0 and report.kept == ()
    assert report.zero_variance_share == 0.0


def test_old_advantages_do_not_survive():
    first = group(1.0, 1.0)
    first[0].advantage = 3.0
    credit([first], DrGRPOAdvantage())
    assert advantages(first) == [None, None]


def test_a_dropped_group_has_no_say_in_the_scale_of_the_others():
    alone, together = group(1.0, 0.0), group(1.0, 0.0)
    credit([alone], BatchScaledAdvantage())
    credit([together, group(9.0, 9.0, of=B)], BatchScaledAdvantage())
    assert advantages(together) == advantages(alone)


def test_groups_are_the_attempts_at_one_task():
    mixed = [attempt(1.0), attempt(0.0, of=B), attempt(0.0), attempt(1.0, of=B)]
    assert [[one.task.id for one in group] for group in groups_of(mixed)] == [["a", "a"], ["b", "b"]]
    with pytest.raises(ValueError, match="mixes tasks: a, b"):
        credit([mixed], DrGRPOAdvantage())


def test_whoever_forgot_the_rewards_hears_of_it():
    with pytest.raises(ValueError, match="task 'a' has no score"):
        credit([[trajectory(task=A), trajectory(task=A)]], DrGRPOAdvantage())
