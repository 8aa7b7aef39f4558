"""Three estimates of a divergence."""

import math

import pytest
import torch

from eva_lightning.objectives.kl import k1, k2, k3


def test_numbers_one_can_check_by_head():
    policy, reference = torch.tensor([math.log(0.5)]), torch.tensor([math.log(0.25)])
    assert k1(policy, reference).item() == pytest.approx(math.log(2))
    assert k2(policy, reference).item() == pytest.approx(math.log(2) ** 2 / 2)
    assert k3(policy, reference).item() == pytest.approx(0.5 + math.log(2) - 1)


@pytest.mark.parametrize("estimate", [k1, k2, k3])
def test_equal_policies_do_not_diverge(estimate):
    assert estimate(torch.tensor([-1.0]), torch.tensor([-1.0])).item() == 0.0


@pytest.mark.parametrize("estimate", [k1, k3])
def test_the_expectation_is_the_divergence(estimate):
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    exact = (p * (p / q).log()).sum()
    torch.testing.assert_close((p * estimate(p.log(), q.log())).sum(), exact)


def test_k3_is_never_negative_and_never_overflows():
    policy = torch.tensor([-200.0, -1.0, -0.1], requires_grad=True)
    value = k3(policy, torch.tensor([-0.1, -1.0, -200.0]))
    assert (value >= 0).all() and value.isfinite().all()
    value.sum().backward()
    assert policy.grad.isfinite().all()
