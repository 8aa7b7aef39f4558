"""TRL agrees: the same log-probs give the same KTO and GRPO losses and gradients, where both define the case.

TRL's own loss methods run on a stand-in for their trainer that hands them given log-probs; no model, no data.
Its batches are padded and ours are flat, so this also says that padding makes no difference. To run it:
`pip install trl==1.16.0`, in any environment with this project's torch and transformers.
"""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from eva_lightning.objectives.advantages import GRPOAdvantage
from eva_lightning.objectives.kto import KTOSettings, kto_loss, kto_means, z_ref
from eva_lightning.objectives.policy_gradient import PolicyGradientSettings, policy_gradient
from eva_lightning.objectives.totals import Totals, sequence_lengths, sequence_sums
from tests.objectives.flat import flat, logprobs

pytest.importorskip("trl", reason="the second opinion is TRL's: pip install trl==1.16.0")

LENGTHS = [3, 1, 4, 2]
NEW = logprobs(LENGTHS, seed=1)
OLD = logprobs(LENGTHS, seed=2, spread=0.8, like=NEW)
SAMPLER = logprobs(LENGTHS, seed=3, spread=1.5, like=OLD)
REFERENCE = logprobs(LENGTHS, seed=4, like=NEW)
REWARDS = [1.0, 0.0, 0.05, 0.4]
TOTALS = Totals.of(LENGTHS)
MASK = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]


def padded(values, filler=0.0):
    """Flat to [B, T], differentiably."""
    return torch.full(MASK.shape, filler, dtype=values.dtype).masked_scatter(MASK, values)


class Alone:
    """One process, as accelerate sees it."""

    device, num_processes, sync_gradients = torch.device("cpu"), 1, True

    def gather(self, tensor):
        return tensor

    gather_for_metrics = gather

    def reduce(self, tensor, reduction):
        return tensor


def trainer(**fields):
    """What TRL's loss methods read of `self`."""
    return SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=Alone(),
        aux_loss_enabled=False,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
        **fields,
    )


def agree(ours, theirs, mine, yours):
    """Both losses and both gradients, to 1e-5."""
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mine.grad, yours.grad, rtol=1e-5, atol=1e-5)


def trl_grpo(new, advantages, loss_type, level="token", delta=None, beta=0.0, cap=None, high=0.28):
    from trl import GRPOTrainer

    weights = None if cap is None else torch.exp(padded(OLD) - padded(SAMPLER)).clamp(max=cap)
    stand_in = trainer(
        _get_per_token_logps_and_entropies=lambda *_, **__: (padded(new), torch.zeros(MASK.shape), None),
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level=level,
        beta=beta,
        loss_type=loss_type,
        epsilon_low=0.2,
        epsilon_high=high,
        use_vllm=cap is not None,
        vllm_importance_sampling_correction=True,
        max_completion_length=7,
        current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False,
        args=SimpleNamespace(delta=delta, use_bias_correction_kl=False, steps_per_generation=1),
    )
    inputs = {
        "prompt_ids": torch.zeros(4, 1, dtype=torch.int64),
        "prompt_mask": torch.ones(4, 1, dtype=torch.int64),
        "completion_ids": torch.zeros(MASK.shape, dtype=torch.int64),
        "completion_mask": MASK.long(),
        "advantages": advantages,
        "old_per_token_logps": padded(OLD),
        "ref_per_token_logps": padded(REFERENCE),
        "importance_sampling_ratio": weights,
        "num_items_in_batch": torch.tensor(float(sum(LENGTHS))),
    }
    loss = GRPOTrainer._compute_loss(stand_in, stand_in.model, inputs)
    return loss, {name: values[-1] for name, values in stand_in._metrics["train"].items()}


HOW = {"dapo": "token_mean", "grpo": "sequence_mean", "dr_grpo": "dr_grpo", "cispo": "token_mean"}


@pytest.mark.parametrize("cap", [None, 1.2])
@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize(
    "loss_type, ratio",
    [
        ("dapo", "token"),
        ("grpo", "token"),
        ("dr_grpo", "token"),
        ("grpo", "sequence"),
        ("dapo", "sequence"),
        ("cispo", "cispo"),
    ],
)
def test_grpo(loss_type, ratio, beta, cap):
    advantages = torch.tensor(GRPOAdvantage()(REWARDS), dtype=torch.float64)
    mine, yours = NEW.clone().requires_grad_(), NEW.clone().requires_grad_()
    settings = PolicyGradientSettings(
        ratio=ratio, kl_weight=beta, importance_cap=cap, aggregation=HOW[loss_type], max_tokens=7
    )
    ours, tally = policy_gradient(
        mine,
        OLD,
        advantages,
        flat(LENGTHS),
        sampler_logprobs=SAMPLER,
        reference_logprobs=REFERENCE,
        settings=settings,
        totals=TOTALS,
    )
    level = "sequence" if ratio == "sequence" else "token"
    high = 1.28 if ratio == "cispo" else 0.28  # TRL's epsilon_high of CISPO is the cap itself
    theirs, logged = trl_grpo(yours, advantages, loss_type, level=level, beta=beta, cap=cap, high=high)
    agree(ours, theirs, mine, yours)
    means = tally.means()
    if beta:
        assert means["kl/reference"] == pytest.approx(logged["kl"], rel=1e-5)
    if ratio == "token":
        assert means["clip/low"] == pytest.approx(logged["clip_ratio/low_mean"]) and means["clip/low"] > 0
        assert means["clip/high"] == pytest.approx(logged["clip_ratio/high_mean"]) and means["clip/high"] > 0
    if ratio == "cispo":
        assert means["clip/high"] == pytest.approx(logged["cispo_clip_ratio"])


def test_where_the_advantage_is_negative_dual_clip_is_trls_delta():
    advantages = torch.full((4,), -1.0, dtype=torch.float64)
    mine, yours = NEW.clone().requires_grad_(), NEW.clone().requires_grad_()
    settings = PolicyGradientSettings(dual_clip=1.5)
    ours, tally = policy_gradient(mine, OLD, advantages, flat(LENGTHS), settings=settings, totals=TOTALS)
    theirs, _ = trl_grpo(yours, advantages, "dapo", delta=1.5)
    assert tally.means()["clip/dual"] > 0
    agree(ours, theirs, mine, yours)


def test_the_advantage_of_a_group_has_trls_deviation():
    from trl.trainer.utils import nanstd

    rewards = torch.tensor(REWARDS, dtype=torch.float64)
    expected = (rewards - rewards.mean()) / (nanstd(rewards) + 1e-4)
    assert GRPOAdvantage()(REWARDS) == pytest.approx(expected.tolist())


def trl_kto(new, mismatched, desirable, settings):
    """With reference log-probs computed beforehand, TRL asks its model once for everything but position 0."""
    from trl import KTOTrainer

    nothing = torch.zeros(MASK.shape)
    outputs = SimpleNamespace(log_probs=padded(new), entropy=nothing, mean_logits=nothing)
    stand_in = trainer(
        calculate_KL=settings.loss == "kto",
        precompute_ref_logps=True,
        loss_type=settings.loss,
        beta=settings.beta,
        desirable_weight=settings.desirable_weight,
        undesirable_weight=settings.undesirable_weight,
        _compute_kl_logps=lambda *_: mismatched[0],
    )
    first = torch.zeros(4, 1, dtype=torch.int64)
    batch = {
        "input_ids": torch.zeros(4, MASK.shape[1] + 1, dtype=torch.int64),
        "attention_mask": torch.cat([first + 1, MASK.long()], dim=1),
        "completion_mask": torch.cat([first, MASK.long()], dim=1),
        "label": desirable,
        "ref_logps": padded(REFERENCE).sum(1),
        "ref_KL_logps": mismatched[1],
    }
    loss = KTOTrainer._compute_loss(stand_in, lambda **_: outputs, batch, return_outputs=False)
    return loss, {name: values[-1] for name, values in stand_in._metrics["train"].items()}


@pytest.mark.parametrize("shift", [5.0, -5.0], ids=["z above 0", "z cut at 0"])
@pytest.mark.parametrize(
    "desirable",
    [[True, False, False, True], [True] * 4, [False] * 4],
    ids=["both labels", "good only", "bad only"],
)
@pytest.mark.parametrize("loss", ["kto", "apo_zero_unpaired"])
def test_kto(loss, desirable, shift):
    settings = KTOSettings(loss=loss, beta=0.3, desirable_weight=0.7, undesirable_weight=1.5)
    labels = torch.tensor(desirable)
    mismatched = torch.tensor([[-3.0, -9.0, -4.0, -8.0], [-4.0, -7.0, -6.0, -8.0]], dtype=torch.float64)
    mismatched[0] += shift
    mine, yours = NEW.clone().requires_grad_(), NEW.clone().requires_grad_()
    sequence = flat(LENGTHS)
    ours, tally = kto_loss(
        sequence_sums(mine, sequence, 4),
        sequence_sums(REFERENCE, sequence, 4),
        labels,
        z=z_ref((mismatched[0] - mismatched[1]).sum(), 4),
        lengths=sequence_lengths(sequence, 4),
        settings=settings,
        totals=TOTALS,
    )
    theirs, logged = trl_kto(yours, mismatched, labels, settings)
    agree(ours, theirs, mine, yours)
    means = kto_means(tally)
    assert means.keys() - logged.keys() == {"saturated", "desirable"}
    assert {name: logged[name] for name in means.keys() & logged.keys()} == pytest.approx(
        {name: means[name] for name in means.keys() & logged.keys()}
    )
