"""Whatever shares out weights, gradients and state among ranks makes the step of one process: two gloo ranks.

The long table, of all cases and strategies, is `bench/strategies.py`.
"""

from importlib.util import find_spec

import pytest
import torch

from tests.modules.launching import launch
from tests.modules.stages import apart
from tests.modules.strategy_cases import cases, run

STEPS = 2
SHARE = ("sft, uneven", "grpo, two optimizer steps", "kto, a rank without data")
"""Between them: gradients of the tower, ranks without image, without data, a frozen copy, passes that learn
nothing."""
POISON = "sft, not finite on one rank"
WITH_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
"""pip install -e .[deepspeed]"""


@pytest.fixture(scope="module")
def alone(world, tiny_folder):
    """What one process makes of a case."""
    known, found = cases(world, tiny_folder), {}

    def made(case):
        if case not in found:
            found[case] = run(known[case], "auto", tiny_folder, STEPS)
        return found[case]

    return made


@pytest.fixture(scope="module")
def together(world, tiny_folder, tmp_path_factory):
    """What two processes make of cases, each named after its strategy."""

    def made(*wanted):
        folder = tmp_path_factory.mktemp("strategies")
        words = (tiny_folder, world.folder, folder / "out.pt", STEPS, *wanted)
        launch("tests.modules.strategy_cases", *words, folder=folder)
        return torch.load(folder / "out.pt", weights_only=False)

    return made


@pytest.fixture(scope="module")
def shards(together):
    return together("ddp:grpo, two optimizer steps", *(f"fsdp2:{case}" for case in (*SHARE, POISON)))


@pytest.fixture(scope="module")
def rows(together):
    """All of a rank's trajectories in one row, and half of each row on each rank."""
    return together(*(f"ddp, rows shared:{case}" for case in SHARE), "fsdp2, rows shared:sft, uneven")


@pytest.fixture(scope="module")
def zero(together):
    whole = [f"{stage}:{case}" for stage in ("zero2", "zero3") for case in (*SHARE, POISON)]
    return together(*whole, "zero3, read into shards:sft, uneven")


def test_two_mini_batches_on_two_ranks_are_those_of_one_process(alone, shards):
    case = "grpo, two optimizer steps"
    same_steps(alone(case), shards["ddp", case])


@pytest.mark.parametrize("case", SHARE)
def test_shards_make_the_steps_of_whole_weights(case, alone, shards):
    same_steps(alone(case), shards["fsdp2", case])


@pytest.mark.parametrize("case", SHARE)
def test_rows_that_ranks_share_make_the_steps_of_whole_rows(case, alone, rows):
    same_steps(alone(case), rows["ddp, rows shared", case])


def test_shards_share_rows_too(alone, rows):
    same_steps(alone("sft, uneven"), rows["fsdp2, rows shared", "sft, uneven"])


@WITH_DEEPSPEED
@pytest.mark.parametrize("case", SHARE)
def test_zero2_makes_the_steps_of_whole_weights(case, alone, zero):
    same_steps(alone(case), zero["zero2", case], clipped_later=True)


@WITH_DEEPSPEED
@pytest.mark.parametrize("case", SHARE)
def test_zero3_makes_the_gradients_of_whole_weights(case, alone, zero):
    """Where a gradient is all but 0, Adam moves by its sign: so the weights are allowed 1 % of a step."""
    same_steps(alone(case), zero["zero3", case], weights=1e-6, clipped_later=True)


@WITH_DEEPSPEED
def test_zero3_makes_them_with_weights_that_were_read_into_shards(alone, zero):
    same_steps(alone("sft, uneven"), zero["zero3, read into shards", "sft, uneven"], clipped_later=True)


def test_a_loss_that_is_no_number_on_one_rank_moves_no_shard(alone, shards):
    same_refusal(alone(POISON), shards["fsdp2", POISON])


@WITH_DEEPSPEED
@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_a_loss_that_is_no_number_on_one_rank_moves_nothing_under_deepspeed(stage, alone, zero):
    same_refusal(alone(POISON), zero[stage, POISON])


def same_refusal(mine, theirs):
    """The first step is left out by all, schedule included; the second is that of one process."""
    assert [told["train/skipped"] for told in theirs[2]] == [1, 0]
    assert [told["train/lr"] for told in theirs[2]] == [told["train/lr"] for told in mine[2]]
    (before, after), (same, moved) = mine[1], theirs[1]
    assert apart(before, same) == 0
    assert apart(after, moved) < 1e-6 < apart(before, after)


def same_steps(mine, theirs, weights=1e-6, gradients=1e-6, clipped_later=False):
    for here, there in zip(mine[1], theirs[1], strict=True):
        assert apart(here, there) < weights
    told = list(zip(mine[2], theirs[2], strict=True))
    for here, there in told:
        assert there["train/loss"] == pytest.approx(here["train/loss"], abs=1e-5)
        assert there["train/grad_norm"] == pytest.approx(here["train/grad_norm"], rel=1e-5)
    if clipped_later and len(mine[0]) != len(told):
        return  # the norms of single steps are not told
    for number, (here, there) in enumerate(zip(mine[0], theirs[0], strict=True)):
        cut = min(1.0, 0.5 / told[number][0]["train/grad_norm"]) if clipped_later else 1.0
        assert apart(here, {name: one * cut for name, one in there.items()}) < gradients
