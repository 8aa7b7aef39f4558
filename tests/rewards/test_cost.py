"""What looking costs."""

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.records import Observation, Turn
from eva_lightning.rewards.cost import CostReward
from tests.making import trajectory

LOOK = trajectory(frames=4)  # four frames of 2 x 3 visual tokens, two rounds


@pytest.mark.parametrize(
    "unit, free, cap, value",
    [
        ("visual_tokens", 0, 48, -0.5),
        ("visual_tokens", 0, 24, -1.0),
        ("visual_tokens", 0, 10, -1.0),  # more than the cap costs no more
        ("visual_tokens", 20, 40, -0.2),
        ("frames", 0, 16, -0.25),
        ("frames", 4, 16, 0.0),
        ("rounds", 1, 6, -0.2),
    ],
)
def test_numbers_one_can_check_by_head(unit, free, cap, value):
    score = CostReward(unit=unit, free=free, cap=cap).score(LOOK)
    assert score.value == pytest.approx(value) and score.weight == 0.1


def test_what_sub_agents_read_costs_though_it_is_in_no_conversation():
    told = [Observation(parts=("a cup",), worked=1, elsewhere=tokens) for tokens in (600, 900)]
    one = trajectory(turns=[Turn(text="observe", observation=seen) for seen in told])
    assert one.visual_tokens == 0 and one.elsewhere == 1500
    score = CostReward(unit="elsewhere", free=500, cap=2500).score(one)
    assert (score.value, score.reason) == (-0.5, "1500 visual tokens of sub-agents, free to 500, cap 2500")


def test_only_right_answers_are_charged_unless_all_are():
    wrong = trajectory(frames=4, answer="A")
    assert CostReward(unit="frames", cap=8).score(wrong).value == 0.0
    assert CostReward(unit="frames", cap=8, only_when_right=False).score(wrong).value == -0.5


@pytest.mark.parametrize("free, cap", [(-1, 5), (5, 5), (6, 5)])
def test_a_scale_without_length_is_refused(free, cap):
    with pytest.raises(UsageError, match=f"free {free} and cap {cap}"):
        CostReward(free=free, cap=cap)
