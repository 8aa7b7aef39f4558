"""Scores without logits have the values and gradients of a full softmax, whatever the chunk."""

import pytest
import torch

from eva_lightning.policy.token_scores import NEVER, TokenScores, rows_of


def full(hidden, weight, bias, targets, banned, temperature):
    logits = torch.nn.functional.linear(hidden, weight, bias) / temperature
    table = logits.index_fill(1, banned, NEVER).log_softmax(1)
    return table.gather(1, targets[:, None])[:, 0], -(table.exp() * table).sum(1)


@pytest.mark.parametrize("rows", [1, 3, 8, 100])
@pytest.mark.parametrize("temperature, banned", [(1.0, []), (0.7, [0, 30])])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("of", ["logprobs", "entropy", "both"])
def test_values_and_gradients_are_those_of_the_full_softmax(rows, temperature, banned, biased, of):
    """To 1e-5 of the largest."""
    dice = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(size, 6, generator=dice) for size in (8, 31))
    bias = torch.randn(31, generator=dice) if biased else None
    targets, never = torch.arange(8) + 1, torch.tensor(banned, dtype=torch.int64)
    sides = []
    for ours in (True, False):
        given = [one if one is None else one.clone().requires_grad_() for one in (hidden, weight, bias)]
        if ours:
            found = TokenScores.apply(*given, targets, never, temperature, True, rows)
        else:
            found = full(*given, targets, never, temperature)
        slope = torch.linspace(-1, 2, 8)
        wanted = {"logprobs": found[:1], "entropy": found[1:], "both": found}[of]
        sum((slope * one).sum() for one in wanted).backward()
        sides.append([*found, *(one.grad for one in given if one is not None)])
    for mine, theirs in zip(*sides, strict=True):
        assert (mine - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_a_head_that_is_frozen_and_an_entropy_that_nobody_asked_for_cost_nothing():
    hidden, weight = torch.randn(2, 4, requires_grad=True), torch.randn(7, 4)
    nobody = torch.tensor([], dtype=torch.int64)
    logprobs, entropy = TokenScores.apply(hidden, weight, None, torch.tensor([1, 2]), nobody, 1.0, False, 9)
    assert entropy is None
    logprobs.sum().backward()
    assert hidden.grad is not None and weight.grad is None


def test_no_token_at_all_has_no_score_and_a_gradient_of_zero():
    hidden, weight = torch.randn(0, 4, requires_grad=True), torch.randn(7, 4, requires_grad=True)
    nobody = torch.tensor([], dtype=torch.int64)
    logprobs, _ = TokenScores.apply(hidden, weight, None, nobody, nobody, 1.0, True, 9)
    logprobs.sum().backward()
    assert logprobs.shape == (0,) and not weight.grad.any()


def test_in_half_precision_gradients_are_added_up_in_whole():
    """4,096 tokens, 64 chunks: as near to float32 as one chunk is."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(4096, 8).bfloat16(), torch.randn(16, 8).bfloat16()
    targets, nobody = torch.randint(0, 16, (4096,)), torch.tensor([], dtype=torch.int64)
    found = []
    for dtype, rows in ((torch.bfloat16, 64), (torch.bfloat16, 4096), (torch.float32, 4096)):
        mine = weight.detach().to(dtype, copy=True).requires_grad_()
        TokenScores.apply(hidden.to(dtype), mine, None, targets, nobody, 1.0, False, rows)[0].sum().backward()
        found.append(mine.grad.float())
    many, one, whole = found
    assert (many - whole).norm() < 1.2 * (one - whole).norm() + 1e-3 * whole.norm()


def test_logits_of_a_chunk_take_a_quarter_of_a_gib():
    assert rows_of(151_936) == 441 and rows_of(10**12) == 1
