"""How soon Python's threads take turns, while rollouts run and after them."""

import sys

import pytest

from eva_lightning.turn_taking import INTERVAL, prompt_turns


@pytest.fixture(autouse=True)
def usual():
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    assert sys.getswitchinterval() == pytest.approx(0.005)
    sys.setswitchinterval(before)


def test_the_first_rollout_sets_the_interval_and_the_last_one_gives_it_back():
    first, second = prompt_turns(), prompt_turns()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)  # rollouts that overlap end in any order
    assert sys.getswitchinterval() == pytest.approx(INTERVAL)
    second.__exit__(None, None, None)


def test_a_shorter_interval_stays():
    sys.setswitchinterval(1e-5)
    with prompt_turns():
        assert sys.getswitchinterval() == pytest.approx(1e-5)
    assert sys.getswitchinterval() == pytest.approx(1e-5)
    sys.setswitchinterval(0.005)
