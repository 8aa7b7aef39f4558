"""Supervised loss: a mean over tokens, wherever they are."""

import pytest
import torch

from eva_lightning.objectives.cross_entropy import cross_entropy
from eva_lightning.objectives.totals import Totals
from tests.objectives.flat import cut, logprobs


def test_numbers_one_can_check_by_head():
    loss, tally = cross_entropy(torch.tensor([-1.0, -2.0, -6.0]), totals=Totals(tokens=3, sequences=2))
    assert loss.item() == 3.0
    assert tally.sums["nll"].tolist() == [9.0, 3.0]


def test_it_is_torchs_cross_entropy_with_its_gradient():
    logits = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 6, 3, 3, 1])
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    picked = ours.log_softmax(1).gather(1, targets[:, None])[:, 0]
    loss, _ = cross_entropy(picked, totals=Totals(tokens=5, sequences=1))
    expected = torch.nn.functional.cross_entropy(theirs, targets)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_micro_batches_of_one_add_up_to_one_batch():
    lengths = [3, 1, 4]
    values, totals = logprobs(lengths), Totals.of(lengths)
    whole, all_of_it = cross_entropy(values, totals=totals)
    parts = [cross_entropy(part, totals=totals) for part in cut(lengths, values)]
    torch.testing.assert_close(sum(loss for loss, _ in parts), whole)
    together = parts[0][1] + parts[1][1] + parts[2][1]
    assert together.means() == pytest.approx(all_of_it.means())
