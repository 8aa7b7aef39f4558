"""However a step is cut (forward passes, rows, processes), it is the same step: compared by its gradients."""

import pytest
import torch

from tests.modules.launching import launch
from tests.modules.stages import (
    ALL_IN_ONE,
    NO_CLIP,
    ONE_EACH,
    PER_TOKEN,
    WITH_KL,
    Watching,
    apart,
    fit,
    make,
    marked,
    teach,
    weighed,
)
from tests.modules.two_ranks import two_batches_ahead

ENOUGH = 1e-6


@pytest.fixture(scope="module")
def step(taught, schooled, tiny_folder):
    """Gradients and metrics of one optimizer step of a case in this process."""

    def run(case, packing, batch=None):
        stage, given, begin_with, more = {
            "sft": ("sft", taught, None, {}),
            "kto": ("kto", marked(taught), schooled, {"objective": PER_TOKEN}),
            "grpo": ("fed", weighed(taught), None, {}),
            "lora": ("fed", weighed(taught), None, {"objective": WITH_KL, "lora": True}),
        }[case]
        module = make(stage, tiny_folder, packing=packing, optimizer=NO_CLIP, **more)
        watching = Watching(begin_with)
        fit(module, batch or given, callbacks=[watching])
        return watching.gradients[0], watching.metrics[0]

    return run


@pytest.fixture(scope="module")
def ranks(world, schooled, tiny_folder, tmp_path_factory):
    """What two processes make of every case of two_ranks.py: one answer for each rank."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.save(schooled, folder / "schooled.pt")
    launch(
        "tests.modules.two_ranks", tiny_folder, world.folder, folder / "schooled.pt", folder, folder=folder
    )
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.parametrize("case", ["sft", "kto", "grpo", "lora"])
def test_one_pass_of_four_is_four_passes_of_one(step, case):
    gradients, metrics = step(case, ALL_IN_ONE)
    assert max(float(one.abs().max()) for one in gradients.values()) > 1e-3
    other, told = step(case, ONE_EACH)
    assert apart(gradients, other) < ENOUGH
    assert metrics["train/loss"] == pytest.approx(told["train/loss"], abs=1e-5)


@pytest.mark.parametrize("case", ["sft", "kto", "grpo", "lora"])
def test_two_processes_make_the_step_of_one(step, ranks, case):
    gradients, metrics = step(case, ONE_EACH)
    for rank in (0, 1):
        assert apart(gradients, ranks[rank][case][0][0]) < ENOUGH
    told = ranks[0][case][1][0]  # the first rank logs for all
    assert told.keys() == metrics.keys()
    assert told == pytest.approx(metrics, rel=1e-4, abs=1e-4)


def test_kto_of_the_comparison_has_a_reference_point(step):
    assert step("kto", ALL_IN_ONE)[1]["train/kl"] > 0.1


def test_a_rank_with_one_pass_and_no_frame_waits_for_one_with_three(step, ranks, taught, world, tiny_folder):
    silent = teach(world, tiny_folder, text_only=True)
    gradients, _ = step("sft", ONE_EACH, [*taught[:3], *silent[3:]])
    assert any("visual" in name and one.any() for name, one in gradients.items())
    for rank in (0, 1):
        assert apart(gradients, ranks[rank]["uneven"][0][0]) < ENOUGH


@pytest.mark.parametrize("case", ["sft", "kto", "grpo"])
def test_what_one_rank_has_is_dealt_to_both_and_the_step_is_that_of_one_process(step, ranks, taught, case):
    gradients, metrics = step(case, ONE_EACH)
    mine, theirs = (rank["dealt"][case] for rank in ranks)
    assert apart(gradients, mine[0]) < ENOUGH and apart(mine[0], theirs[0]) == 0
    assert mine[1]["train/loss"] == pytest.approx(metrics["train/loss"], abs=1e-5)
    assert len(mine[2]) == len(theirs[2]) == 2 and mine[2] | theirs[2] == {one.task.id for one in taught}


def test_a_rank_without_a_trajectory_takes_part_in_the_step(step, ranks):
    gradients, _ = step("grpo", ONE_EACH)
    for rank in (0, 1):
        assert apart(gradients, ranks[rank]["one has nothing"][0][0]) < ENOUGH


def test_where_no_rank_has_a_trajectory_there_is_no_step(ranks):
    for rank in (0, 1):
        gradients, _, moved = ranks[rank]["nobody has anything"]
        assert not gradients and not moved
    assert ranks[0]["nobody has anything"][1][0]["train/updates"] == 0


def test_rollouts_of_both_ranks_are_credited_and_counted_together(ranks):
    """Rank 0 has the two questions of the first clip, whose groups disagree; rank 1 has nothing to learn."""
    (mine,), (told,), moved = ranks[0]["rollouts"]
    assert (told["train/groups"], told["train/zero_variance_share"], told["train/reward"]) == (4, 0.5, 0.25)
    (theirs,), _, moved_there = ranks[1]["rollouts"]
    assert apart(mine, theirs) == 0 and moved == moved_there and moved


def test_the_first_rank_alone_hands_weights_to_an_engine_of_all(ranks):
    (first, mine, metrics), (second, theirs, _) = (rank["one engine"] for rank in ranks)
    assert first == [0, 1] and second == []
    assert mine == theirs == {(1,)}
    assert max(told["train/mismatch/max"] for told in metrics) < 1e-4  # of both ranks: nobody wrote too early


def test_the_optimizer_s_state_is_shared_out_and_nothing_else_changes(ranks):
    """Nor does a checkpoint between: it holds the state of both ranks, the lower halves included."""
    mine, theirs = (rank["state"] for rank in ranks)
    whole, count = mine["each"]
    assert (
        mine["shared"][1] + theirs["shared"][1] == count and min(mine["shared"][1], theirs["shared"][1]) > 5
    )
    for rank in (mine, theirs):
        for case in ("shared", "rest"):
            assert apart(whole, rank[case][0]) == 0
    assert apart(whole, mine["half"][0]) > 0


def test_two_ranks_have_the_same_batches_ahead(ranks, world, tiny_folder):
    """Their shares together are what one process learns from, in the same order and with the same dice."""
    _, alone, told = two_batches_ahead(tiny_folder, world)
    (events, first, both), (others, second, _) = (rank["ahead"] for rank in ranks)
    assert [one + two for one, two in zip(first, second, strict=True)] == alone and len(alone) == 6
    handed = [event for event in events if event[0] == "weights"]
    assert handed == [("weights", version) for version in range(6)]
    assert not [event for event in others if event[0] == "weights"]  # the first rank alone hands over
    ages = [metrics["train/staleness/max"] for metrics in both]
    assert ages[0] == 0 and max(ages) <= 2 and len(told) == len(ages) == 6
