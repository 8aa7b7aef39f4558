"""What a loss is divided by: numbers one can check by head, and no way of cutting the batch changes them."""

import pytest
import torch

from eva_lightning.objectives.totals import Totals, aggregate, sequence_means, sequence_sums
from tests.objectives.flat import cut, flat

LOSSES = torch.tensor([1.0, 2.0, 3.0, 10.0])  # three tokens of one trajectory, one of another
SEQUENCE = torch.tensor([0, 0, 0, 1])
TOTALS = Totals(tokens=4, sequences=2)


def test_sums_and_means_per_trajectory():
    assert sequence_sums(LOSSES, SEQUENCE, 3).tolist() == [6.0, 10.0, 0.0]
    assert sequence_means(LOSSES, SEQUENCE, 3).tolist() == [2.0, 10.0, 0.0]


@pytest.mark.parametrize(
    "how, expected",
    [("token_mean", 16 / 4), ("sequence_mean", (2 + 10) / 2), ("dr_grpo", 16 / (2 * 5))],
)
def test_three_ways_to_make_one_number(how, expected):
    assert aggregate(LOSSES, SEQUENCE, 2, how, TOTALS, max_tokens=5).item() == pytest.approx(expected)


@pytest.mark.parametrize("how", ["token_mean", "sequence_mean", "dr_grpo"])
def test_a_trajectory_without_loss_tokens_changes_nothing(how):
    assert Totals.of([3, 1, 0]) == TOTALS
    with_it = aggregate(LOSSES, SEQUENCE, 3, how, Totals.of([3, 1, 0]), max_tokens=5)
    assert with_it == aggregate(LOSSES, SEQUENCE, 2, how, TOTALS, max_tokens=5)


@pytest.mark.parametrize("how", ["token_mean", "sequence_mean", "dr_grpo"])
def test_micro_batches_of_one_add_up_to_one_batch(how):
    lengths = [3, 1, 4, 2]
    losses, totals = torch.arange(10.0), Totals.of(lengths)
    whole = aggregate(losses, flat(lengths), 4, how, totals, max_tokens=4)
    parts = [
        aggregate(part, flat([len(part)]), 1, how, totals, max_tokens=4) for part in cut(lengths, losses)
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_totals_of_ranks_add_up():
    assert Totals.of([3]) + Totals.of([1, 0]) == TOTALS


def test_an_empty_micro_batch_is_zero_and_still_goes_backward():
    losses = torch.zeros(0, requires_grad=True)
    loss = aggregate(losses * 2, torch.zeros(0, dtype=torch.int64), 1, "token_mean", TOTALS)
    loss.backward()
    assert loss.item() == 0.0 and losses.grad is not None


def test_local_counts_are_noticed():
    with pytest.raises(ValueError, match="4 tokens in a step of 2"):
        aggregate(LOSSES, SEQUENCE, 2, "token_mean", Totals(tokens=2, sequences=2))


@pytest.mark.parametrize("tokens, sequences", [(-1, 0), (3, 4), (3, 0)])
def test_impossible_totals_are_refused(tokens, sequences):
    with pytest.raises(ValueError, match=f"{tokens} tokens of {sequences}"):
        Totals(tokens=tokens, sequences=sequences)


def test_dr_grpo_wants_its_constant():
    with pytest.raises(ValueError, match="max_tokens, which is None"):
        aggregate(LOSSES, SEQUENCE, 2, "dr_grpo", TOTALS)
