"""A few plans of faults and a few kills, of the many that `bench/faults.py` runs."""

import pytest

from tests.system.faults.kills import kill
from tests.system.faults.plans import Plans
from tests.system.faults.runs import lay_ground
from tests.system.faults.zygote import Zygote

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    with Zygote() as zygote:
        yield Plans(lay_ground(folder / "ground"), zygote, folder / "runs")


@pytest.mark.parametrize(("command", "seed"), [("grpo", 0), ("collect", 0), ("test", 5)])
def test_what_fails_is_told_and_counted_and_what_does_not_is_as_ever(plans, command, seed):
    verdict = plans.run(command, seed)
    assert verdict.problems == [] and sum(verdict.injected.values()) > 5


@pytest.mark.parametrize("command", ["kto", "test"])
def test_killed_at_any_moment_it_goes_on_to_the_same_end(plans, command):
    assert kill(plans, command, 1).problems == []
