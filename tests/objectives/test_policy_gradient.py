"""The clipped policy gradient: against a loop one can read, branch by branch, and cut into micro-batches."""

import math

import pytest
import torch

from eva_lightning.objectives.policy_gradient import PolicyGradientSettings, policy_gradient
from eva_lightning.objectives.totals import Totals
from tests.objectives.flat import cut, flat, logprobs

LENGTHS = [3, 1, 4, 2]
ADVANTAGES = torch.tensor([1.5, -0.5, -2.0, 0.25], dtype=torch.float64)
NEW = logprobs(LENGTHS, seed=1)
OLD = logprobs(LENGTHS, seed=2, spread=1.5, like=NEW)
SAMPLER = logprobs(LENGTHS, seed=3, spread=1.5, like=OLD)
REFERENCE = logprobs(LENGTHS, seed=4, like=NEW)


def ours(new, settings, lengths=LENGTHS, rows=slice(None), totals=None, **others):
    return policy_gradient(
        new,
        others.pop("old", OLD),
        others.pop("advantages", ADVANTAGES[rows]),
        flat(lengths),
        settings=settings,
        totals=totals or Totals.of(lengths),
        **others,
    )


def naive_token(new, old, mean_change, advantage, s):
    """One token, as the papers write it. `mean_change` is its trajectory's mean log-ratio."""
    ratio = torch.exp(mean_change if s.ratio == "sequence" else new - old)
    if s.ratio == "cispo":
        return -min(ratio.item(), 1 + s.clip_high) * advantage * new
    clipped = ratio.clamp(1 - s.clip_low, 1 + s.clip_high)
    gain = torch.min(ratio * advantage, clipped * advantage)
    if s.dual_clip is not None and advantage < 0:
        gain = gain.clamp(min=s.dual_clip * advantage)
    return -gain


def naive(new, settings):
    """Trajectory by trajectory, token by token, with sampler and reference."""
    per_trajectory, start = [], 0
    for length, advantage in zip(LENGTHS, ADVANTAGES.tolist(), strict=True):
        here = range(start, start + length)
        mean_change = sum(new[t] - OLD[t] for t in here) / length
        losses = []
        for t in here:
            loss = naive_token(new[t], OLD[t], mean_change, advantage, settings)
            if settings.importance_cap is not None:
                loss = loss * min(math.exp(OLD[t] - SAMPLER[t]), settings.importance_cap)
            d = REFERENCE[t] - new[t]
            losses.append(loss + settings.kl_weight * (torch.exp(d) - d - 1))
        per_trajectory.append(losses)
        start += length
    if settings.aggregation == "token_mean":
        return sum(sum(losses) for losses in per_trajectory) / sum(LENGTHS)
    if settings.aggregation == "sequence_mean":
        return sum(sum(losses) / len(losses) for losses in per_trajectory) / len(LENGTHS)
    return sum(sum(losses) for losses in per_trajectory) / len(LENGTHS) / settings.max_tokens


EVERYTHING = [
    PolicyGradientSettings(
        ratio=ratio, dual_clip=dual, kl_weight=kl, importance_cap=cap, aggregation=how, max_tokens=7
    )
    for ratio in ("token", "sequence", "cispo")
    for dual, kl, cap in ((None, 0.0, None), (1.6, 0.0, 1.2), (None, 0.3, 1.2))
    for how in ("token_mean", "sequence_mean", "dr_grpo")
]


def short(settings):
    return f"{settings.ratio}-{settings.dual_clip}-{settings.kl_weight}-{settings.aggregation}"


@pytest.mark.parametrize("settings", EVERYTHING, ids=short)
def test_the_loss_and_its_gradient_are_those_of_the_papers(settings):
    fast, slow = NEW.clone().requires_grad_(), NEW.clone().requires_grad_()
    value, _ = ours(fast, settings, sampler_logprobs=SAMPLER, reference_logprobs=REFERENCE)
    expected = naive(slow, settings)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(fast.grad, slow.grad)


@pytest.mark.parametrize("settings", EVERYTHING, ids=short)
def test_micro_batches_of_one_add_up_to_one_batch(settings):
    totals = Totals.of(LENGTHS)
    whole = NEW.clone().requires_grad_()
    expected, all_of_it = ours(whole, settings, sampler_logprobs=SAMPLER, reference_logprobs=REFERENCE)
    expected.backward()
    pieces = NEW.clone().requires_grad_()
    tally, value = None, 0.0
    rows = [cut(LENGTHS, values) for values in (pieces, OLD, SAMPLER, REFERENCE)]
    for i, (new, old, sampler, reference) in enumerate(zip(*rows, strict=True)):
        loss, part = ours(
            new,
            settings,
            lengths=[len(new)],
            rows=slice(i, i + 1),
            totals=totals,
            old=old,
            sampler_logprobs=sampler,
            reference_logprobs=reference,
        )
        loss.backward(retain_graph=True)
        value, tally = value + loss, part if tally is None else tally + part
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(pieces.grad, whole.grad)
    assert tally.means() == pytest.approx(all_of_it.means(), rel=1e-5)


def one_token(ratio, advantage, kind="token", **settings):
    """Loss and gradient of a single token with this ratio; the old log-prob is -1."""
    new = torch.tensor([-1.0 + math.log(ratio)], dtype=torch.float64, requires_grad=True)
    loss, tally = policy_gradient(
        new,
        torch.tensor([-1.0], dtype=torch.float64),
        torch.tensor([advantage], dtype=torch.float64),
        torch.tensor([0]),
        settings=PolicyGradientSettings(ratio=kind, **settings),
        totals=Totals(tokens=1, sequences=1),
    )
    loss.backward()
    return loss.item(), new.grad.item(), tally.means()


@pytest.mark.parametrize(
    "ratio, advantage, loss, gradient",
    [
        (1.0, 2.0, -2.0, -2.0),  # where the policy has not moved it is REINFORCE
        (1.2, 1.0, -1.2, -1.2),  # inside: -ratio * A, and its derivative is itself
        (1.5, 1.0, -1.28, 0.0),  # good and already likelier: clipped, nothing to gain
        (0.5, 1.0, -0.5, -0.5),  # good but less likely: not clipped
        (0.5, -1.0, 0.8, 0.0),  # bad and already less likely: clipped
        (1.5, -1.0, 1.5, 1.5),  # bad but likelier: not clipped
    ],
)
def test_clipping_by_head(ratio, advantage, loss, gradient):
    found = one_token(ratio, advantage)
    assert found[:2] == pytest.approx((loss, gradient))
    assert found[2]["clip/high"] == float(ratio == 1.5 and advantage > 0)
    assert found[2]["clip/low"] == float(ratio == 0.5 and advantage < 0)
    assert found[2]["kl/old"] == pytest.approx(ratio - math.log(ratio) - 1, abs=1e-6)


def test_dual_clip_bounds_bad_tokens_alone():
    assert one_token(5.0, -1.0)[:2] == pytest.approx((5.0, 5.0))
    loss, gradient, means = one_token(5.0, -1.0, dual_clip=3.0)
    assert (loss, gradient) == (3.0, 0.0) and means["clip/dual"] == 1.0
    assert one_token(2.0, -1.0, dual_clip=3.0)[:2] == pytest.approx((2.0, 2.0))
    assert one_token(0.1, 1.0, dual_clip=3.0)[:2] == pytest.approx((-0.1, -0.1)), "good ones stay as they are"


def test_cispo_keeps_every_gradient_and_takes_none_through_the_ratio():
    # -min(ratio, 1.28) * A * logprob: the gradient is the weight alone
    for ratio, weight in ((0.5, 0.5), (1.0, 1.0), (5.0, 1.28)):
        for advantage in (1.0, -1.0):
            _, gradient, means = one_token(ratio, advantage, kind="cispo")
            assert gradient == pytest.approx(-weight * advantage)
            assert means["clip/high"] == float(ratio == 5.0 and advantage > 0)


def test_gspo_clips_a_trajectory_as_a_whole():
    # log-ratios 1 and -1 cancel: no token of it is clipped, both share the gradient
    new = torch.tensor([0.0, -2.0], dtype=torch.float64, requires_grad=True)
    loss, tally = policy_gradient(
        new,
        torch.tensor([-1.0, -1.0], dtype=torch.float64),
        torch.tensor([1.0], dtype=torch.float64),
        torch.tensor([0, 0]),
        settings=PolicyGradientSettings(ratio="sequence", clip_low=3e-4, clip_high=4e-4),
        totals=Totals(tokens=2, sequences=1),
    )
    loss.backward()
    assert loss.item() == pytest.approx(-1.0) and new.grad.tolist() == pytest.approx([-0.5, -0.5])
    assert tally.means()["clip/high"] == 0.0 and tally.means()["ratio/max"] == pytest.approx(1.0)


@pytest.mark.parametrize("ratio", ["token", "sequence", "cispo"])
def test_on_the_first_update_it_is_reinforce(ratio):
    new = NEW.clone().requires_grad_()
    loss, tally = ours(new, PolicyGradientSettings(ratio=ratio), old=NEW)
    loss.backward()
    torch.testing.assert_close(new.grad, -ADVANTAGES[flat(LENGTHS)] / sum(LENGTHS))
    means = tally.means()
    assert means["clip/high"] == 0.0 and means["ratio/mean"] == 1.0 and means["kl/old"] == 0.0


def test_zero_advantage_teaches_nothing():
    new = NEW.clone().requires_grad_()
    ours(new, PolicyGradientSettings(), advantages=torch.zeros(4))[0].backward()
    assert not new.grad.any()


def test_importance_weights_are_cut_above_only_and_carry_no_gradient():
    old = torch.tensor([-1.0, -1.0, -1.0], requires_grad=True)
    sampler = (old.detach() - torch.tensor([math.log(4), 0.0, -math.log(4)])).requires_grad_()
    new = torch.tensor([-1.0, -1.0, -1.0], requires_grad=True)
    loss, tally = policy_gradient(
        new,
        old,
        torch.tensor([1.0]),
        torch.tensor([0, 0, 0]),
        sampler_logprobs=sampler,
        settings=PolicyGradientSettings(importance_cap=2.0),
        totals=Totals(tokens=3, sequences=1),
    )
    loss.backward()
    assert new.grad.tolist() == pytest.approx([-2 / 3, -1 / 3, -0.25 / 3])
    assert old.grad is None and sampler.grad is None
    means = tally.means()
    assert means["importance/mean"] == pytest.approx(3.25 / 3)
    assert means["importance/truncated"] == pytest.approx(1 / 3)
    assert means["mismatch/abs"] == pytest.approx(2 * math.log(4) / 3)
    assert means["mismatch/max"] == pytest.approx(math.log(4))
    assert means["mismatch/k3"] == pytest.approx((4 - math.log(4) - 1 + 0.25 + math.log(4) - 1) / 3)


def test_without_a_cap_the_mismatch_is_measured_but_not_corrected():
    settings = PolicyGradientSettings(importance_cap=None)
    loss, tally = ours(NEW, settings, sampler_logprobs=SAMPLER)
    assert loss == ours(NEW, settings)[0]
    assert tally.means()["mismatch/k3"] > 0 and "importance/mean" not in tally.means()


def test_a_reference_without_weight_is_only_measured():
    loss, tally = ours(NEW, PolicyGradientSettings(), reference_logprobs=REFERENCE - 1e6)
    assert loss == ours(NEW, PolicyGradientSettings())[0]
    assert tally.means()["kl/reference"] > 0


def test_entropy_is_passed_through():
    _, tally = ours(NEW, PolicyGradientSettings(), entropy=torch.arange(10.0))
    assert tally.means()["entropy"] == 4.5


def test_an_empty_micro_batch_has_the_same_names_and_goes_backward():
    nothing = torch.zeros(0, requires_grad=True)
    empty = torch.zeros(0)
    loss, tally = policy_gradient(
        nothing,
        empty,
        torch.zeros(0),
        torch.zeros(0, dtype=torch.int64),
        sampler_logprobs=empty,
        settings=PolicyGradientSettings(),
        totals=Totals.of(LENGTHS),
    )
    loss.backward()
    other = ours(NEW, PolicyGradientSettings(), sampler_logprobs=SAMPLER)[1]
    assert loss.item() == 0.0 and tally.means() == {}
    assert list(tally.sums) == list(other.sums) and list(tally.peaks) == list(other.peaks)
    assert (tally + other).means() == other.means()


@pytest.mark.parametrize("ratio", ["token", "sequence", "cispo"])
def test_a_token_that_became_a_billion_times_likelier_does_not_poison_the_gradient(ratio):
    new = torch.tensor([-0.1, -1.0], requires_grad=True)
    loss, _ = policy_gradient(
        new,
        torch.tensor([-500.0, -1.0]),
        torch.tensor([1.0]),
        torch.tensor([0, 0]),
        sampler_logprobs=torch.tensor([-0.1, -500.0]),
        settings=PolicyGradientSettings(ratio=ratio, importance_cap=2.0),
        totals=Totals(tokens=2, sequences=1),
    )
    loss.backward()
    assert loss.isfinite() and new.grad.isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip_low": -0.1},
        {"dual_clip": 1.2},
        {"kl_weight": -1.0},
        {"importance_cap": 0.0},
        {"aggregation": "dr_grpo"},
    ],
    ids=str,
)
def test_settings_check_themselves(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        PolicyGradientSettings(**wrong)


def test_a_divergence_needs_its_reference():
    with pytest.raises(ValueError, match="no reference"):
        ours(NEW, PolicyGradientSettings(kl_weight=0.1))
