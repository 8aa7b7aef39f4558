"""KTO: the formula, its reference point, one label alone, who is put under whose question."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eva_lightning.objectives.kto import (
    KTOSettings,
    balancing_weight,
    kto_loss,
    kto_means,
    log_ratio,
    mismatched,
    mismatched_partners,
    recommended_band,
    z_ref,
)
from eva_lightning.objectives.totals import Totals
from eva_lightning.records import Observation, Span, Turn
from tests.making import frame, task, trajectory

POLICY = torch.tensor([-10.0, -20.0, -5.0, -8.0], dtype=torch.float64)
REFERENCE = torch.tensor([-12.0, -15.0, -9.0, -8.0], dtype=torch.float64)
DESIRABLE = torch.tensor([True, False, False, True])
LENGTHS = torch.tensor([4, 25, 9, 1])
EVEN = KTOSettings(desirable_weight=1.0)
TOTALS = Totals.of(LENGTHS.tolist())


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def naive(policy, reference, desirable, z, lengths, settings):
    """One trajectory at a time, as the papers write it."""
    losses = []
    for p, r, good, length in zip(policy, reference, desirable, lengths, strict=True):
        scale = {"none": 1, "token": int(length), "sqrt": math.sqrt(length)}[settings.length_normalize]
        ratio = (p - r) / scale
        if settings.loss == "apo_zero_unpaired":
            value = torch.sigmoid(settings.beta * ratio)
            loss = 1 - value if good else value
        else:
            gain = ratio - z if good else z - ratio
            loss = 1 - torch.sigmoid(settings.beta * gain)
        losses.append((settings.desirable_weight if good else settings.undesirable_weight) * loss)
    return sum(losses) / len(losses)


def ours(policy=POLICY, settings=None, z=0.5, rows=slice(None), totals=TOTALS):
    return kto_loss(
        policy[rows],
        REFERENCE[rows],
        DESIRABLE[rows],
        z=torch.tensor(z, dtype=torch.float64),
        lengths=LENGTHS[rows],
        settings=settings or EVEN,
        totals=totals,
    )


def test_numbers_one_can_check_by_head():
    loss, _ = ours(settings=KTOSettings(beta=1.0, desirable_weight=1.0), z=1.0)
    # r - z is 1, -6, 3, -1: good, bad, bad, good
    expected = (sigmoid(-1) + sigmoid(-6) + sigmoid(3) + sigmoid(1)) / 4
    assert loss.item() == pytest.approx(expected)


def test_at_the_reference_every_trajectory_costs_one_half():
    same = kto_loss(
        REFERENCE,
        REFERENCE,
        DESIRABLE,
        z=torch.zeros(()),
        lengths=LENGTHS,
        settings=EVEN,
        totals=TOTALS,
    )
    assert same[0].item() == 0.5


@pytest.mark.parametrize("normalize", ["none", "token", "sqrt"])
@pytest.mark.parametrize("loss", ["kto", "apo_zero_unpaired"])
def test_the_loss_and_its_gradient_are_those_of_the_papers(loss, normalize):
    settings = KTOSettings(
        loss=loss, beta=0.3, desirable_weight=0.7, undesirable_weight=1.5, length_normalize=normalize
    )
    fast, slow = POLICY.clone().requires_grad_(), POLICY.clone().requires_grad_()
    value, _ = ours(fast, settings)
    expected = naive(slow, REFERENCE, DESIRABLE, 0.5, LENGTHS, settings)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(fast.grad, slow.grad)


def test_gradients_pull_good_up_and_bad_down():
    policy = POLICY.clone().requires_grad_()
    ours(policy)[0].backward()
    assert (policy.grad < 0).tolist() == DESIRABLE.tolist()


def test_micro_batches_of_one_add_up_to_one_batch():
    whole, all_of_it = ours()
    parts = [ours(rows=slice(i, i + 1)) for i in range(4)]
    torch.testing.assert_close(sum(loss for loss, _ in parts), whole)
    together = parts[0][1] + parts[1][1] + parts[2][1] + parts[3][1]
    assert kto_means(together) == pytest.approx(kto_means(all_of_it))


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3), slice(0, 0)])
def test_a_batch_of_one_label_or_of_nobody_is_fine(rows):
    policy = POLICY.clone().requires_grad_()
    loss, tally = ours(policy, rows=rows)
    loss.backward()
    assert loss.isfinite() and policy.grad.isfinite().all()
    assert set(tally.sums) == set(ours()[1].sums), "every rank reduces the same names"
    assert "rewards/margins" not in kto_means(tally)


def test_measurements():
    _, tally = ours(settings=KTOSettings(beta=1.0, desirable_weight=1.0), z=1.0)
    means = kto_means(tally)
    assert means == pytest.approx(
        {
            "rewards/chosen": 1.0,  # (2 + 0) / 2
            "rewards/rejected": -0.5,  # (-5 + 4) / 2
            "rewards/margins": 1.5,
            "logps/chosen": -9.0,
            "logps/rejected": -12.5,
            "saturated": 0.25,  # only |-6| > 4
            "desirable": 0.5,
            "kl": 1.0,
        }
    )


def test_apo_ignores_the_reference_point():
    settings = KTOSettings(loss="apo_zero_unpaired", desirable_weight=1.0)
    assert ours(settings=settings, z=7.0)[0] == ours(settings=settings, z=0.0)[0]
    loss, tally = kto_loss(POLICY, REFERENCE, DESIRABLE, lengths=LENGTHS, settings=settings, totals=TOTALS)
    assert loss == ours(settings=settings)[0] and tally.means()["kl"] == 0.0


def test_the_cut_comes_after_the_mean():
    ratios = torch.tensor([3.0, -5.0])
    assert z_ref(ratios.sum(), 2).item() == 0.0, "not (3 + 0) / 2"
    assert z_ref(torch.tensor(3.0), 2).item() == 1.5


def test_ranks_of_different_sizes_share_one_reference_point():
    ranks = [torch.tensor([4.0]), torch.tensor([-1.0, 0.0, 1.0])]
    assert z_ref(ranks[0].sum() + ranks[1].sum(), 1 + 3).item() == 1.0


def test_nothing_counted_gives_zero():
    assert z_ref(torch.tensor(0.0), 0).item() == 0.0


def test_no_gradient_flows_into_the_reference_point_or_the_reference():
    mismatched = torch.tensor([2.0], requires_grad=True)
    assert not z_ref(mismatched.sum(), 1).requires_grad
    reference = REFERENCE.clone().requires_grad_()
    policy = POLICY.clone().requires_grad_()
    z = (mismatched * 1).sum()
    loss, _ = kto_loss(policy, reference, DESIRABLE, z=z, lengths=LENGTHS, settings=EVEN, totals=TOTALS)
    loss.backward()
    assert reference.grad is None and mismatched.grad is None


def test_length_normalisation():
    policy, reference = torch.tensor([-8.0]), torch.tensor([-16.0])
    found = {
        how: log_ratio(policy, reference, torch.tensor([4]), KTOSettings(length_normalize=how)).item()
        for how in ("none", "token", "sqrt")
    }
    assert found == {"none": 8.0, "token": 2.0, "sqrt": 4.0}


def test_wrong_use_is_refused():
    rest = {"lengths": LENGTHS, "settings": EVEN, "totals": TOTALS}
    with pytest.raises(ValueError, match="reference point"):
        kto_loss(POLICY, REFERENCE, DESIRABLE, **rest)
    with pytest.raises(ValueError, match="want bool"):
        kto_loss(POLICY, REFERENCE, DESIRABLE.long(), z=torch.zeros(()), **rest)
    with pytest.raises(ValueError, match="4 trajectories in a step of 2"):
        ours(totals=Totals(tokens=9, sequences=2))
    with pytest.raises(ValueError, match="desirable_weight is not settled"):
        kto_loss(
            POLICY, REFERENCE, DESIRABLE, z=torch.zeros(()), **rest | {"settings": KTOSettings(beta=1.0)}
        )
    with pytest.raises(ValueError, match="beta is 0"):
        KTOSettings(beta=0)


def test_the_recommended_band():
    assert recommended_band(10, 5) == pytest.approx((0.5, 2 / 3))
    assert recommended_band(10, 5, undesirable_weight=2.0) == pytest.approx((1.0, 4 / 3))
    with pytest.raises(ValueError, match="want both"):
        recommended_band(10, 0)


def test_the_balancing_weight_is_the_middle_of_the_band():
    assert recommended_band(6300, 3700) == pytest.approx((0.587, 0.783), abs=1e-3)
    assert balancing_weight(6300, 3700) == pytest.approx(0.685, abs=1e-3)
    assert balancing_weight(1200, 1200) == pytest.approx(7 / 6)  # good then weighs 7/6 of bad in all
    assert balancing_weight(10, 5, undesirable_weight=2.0) == pytest.approx(7 / 6)


def test_partners_are_rotated():
    assert mismatched_partners(["a", "b", "c", "d"]) == [1, 2, 3, 0]
    assert mismatched_partners(["a", "b", "c", "d"], seed=1) == [2, 3, 0, 1]
    assert mismatched_partners(["a", "a", "b", "b"]) == [2, 3, 0, 1], "neighbours of one task are passed over"


def test_where_no_rotation_fits_everybody_takes_the_next_that_does():
    assert mismatched_partners(["a", "a", "a", "b"]) == [3, 3, 3, 0]


def test_a_batch_of_one_task_has_no_partners():
    assert mismatched_partners(["a", "a", "a"]) == [-1, -1, -1]
    assert mismatched_partners(["a"]) == [-1]
    assert mismatched_partners([]) == []


@given(st.lists(st.sampled_from("abcde"), max_size=24), st.integers(0, 2**62))
def test_a_partner_is_never_of_the_same_task(task_ids, seed):
    partners = mismatched_partners(task_ids, seed)
    assert len(partners) == len(task_ids)
    if len(set(task_ids)) > 1:
        assert all(task_ids[i] != task_ids[j] for i, j in enumerate(partners))
    else:
        assert set(partners) <= {-1}


@given(st.lists(st.integers(), unique=True, min_size=2, max_size=24), st.integers(0, 2**62))
def test_with_different_tasks_everybody_is_used_once(task_ids, seed):
    names = [str(task_id) for task_id in task_ids]
    assert sorted(mismatched_partners(names, seed)) == list(range(len(names)))


def test_what_was_seen_for_another_question_is_of_a_clip_of_its_own():
    looked = Observation(parts=("seen:", frame(time=3.0)), spans=(Span(clip="v", start=2.0, end=4.0),))
    other = trajectory(task=task(id="t2"), turns=[Turn(text="look", observation=looked)])
    mixed = mismatched(trajectory(), other)
    assert mixed.task.id == "t1" and [clip.id for clip in mixed.task.clips] == ["v", "other/v"]
    assert mixed.frames == (frame(time=3.0, clip="other/v"),)
    assert mixed.turns[0].observation.spans == (Span(clip="other/v", start=2.0, end=4.0),)
    assert other.turns[0].observation is looked
