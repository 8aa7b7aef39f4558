"""A trajectory in a row of many is read as if it were alone, forwards and backwards, frames included."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.profiler import ProfilerActivity, profile
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from eva_lightning.policy.attention import BY_TRAJECTORY, attention
from eva_lightning.policy.inputs import lay_out, trajectory_inputs
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.policy.logprobs import token_logprobs
from tests.policy.conversations import assistant, trajectory, user

CAUSAL = SimpleNamespace(is_causal=True, num_key_value_groups=2)
TEXT_ONLY = (user("How many seconds are 3 and 4?"), assistant("<answer>7</answer>"))


@pytest.fixture(scope="module")
def several(renderer, policy, pixels):
    """One with frames, one without, one with frames."""
    records = [trajectory(renderer), trajectory(renderer, TEXT_ONLY), trajectory(renderer)]
    return [trajectory_inputs(record, policy, pixels) for record in records]


@pytest.mark.parametrize("causal", [True, False])
def test_attention_within_borders_is_that_of_each_piece(causal):
    """Of 3, 4, 4 and 1 tokens, four heads that share two keys."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, heads, 12, 8) for heads in (4, 2, 2))
    borders = torch.tensor([0, 3, 7, 11, 12], dtype=torch.int32)
    found, _ = attention(CAUSAL, query, key, value, None, is_causal=causal, cu_seq_lens_q=borders)
    for begin, end in ((0, 3), (3, 7), (7, 11), (11, 12)):
        mine = [states[:, :, begin:end] for states in (query, key, value)]
        alone = scaled_dot_product_attention(*mine, is_causal=causal, enable_gqa=True).transpose(1, 2)
        assert (found[:, begin:end] - alone).abs().max() < 1e-6


@pytest.mark.parametrize("padded", [True, False])
def test_the_next_token_attends_as_transformers_has_it_and_no_key_is_copied(padded):
    """Three rows of 12 tokens, four heads that share two keys; the first row has five tokens of padding."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 4, 1, 8), torch.randn(3, 2, 12, 8), torch.randn(3, 2, 12, 8)
    seen = (torch.arange(12) >= torch.tensor([5, 0, 0])[:, None])[:, None, None] if padded else None
    theirs, _ = sdpa_attention_forward(CAUSAL, query, key, value, seen)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as taken:
        ours, _ = attention(CAUSAL, query, key, value, seen)
    assert ours.shape == (3, 1, 4, 8) and (ours - theirs).abs().max() < 1e-6
    most = max(event.cpu_memory_usage for event in taken.events())
    assert most < key.nbytes  # copied for four heads, keys alone would be twice as much


def test_a_row_of_several_has_the_values_and_gradients_of_separate_passes(policy, several):
    """To 1e-6 of the largest, the tower with its windows included."""
    together, apart = copy.deepcopy(policy.model), copy.deepcopy(policy.model)
    for model in (together, apart):
        model.model.visual.requires_grad_(True)
    packed = token_logprobs(together, lay_out(several)).logprobs
    alone = torch.cat([token_logprobs(apart, lay_out([one])).logprobs for one in several])
    assert (packed - alone).abs().max() < 1e-6 * alone.abs().max()
    packed.sum().backward()
    alone.sum().backward()
    gradients = [
        (ours.grad, theirs.grad)
        for ours, theirs in zip(together.parameters(), apart.parameters(), strict=True)
    ]
    largest = max(theirs.abs().max() for _, theirs in gradients)
    assert max((ours - theirs).abs().max() for ours, theirs in gradients) < 1e-6 * largest


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_kernels_that_know_no_borders_mask_them(policy, several, tiny_folder, kernel):
    masked = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32", attention=kernel))
    with torch.no_grad():
        ours, theirs = (
            token_logprobs(model, lay_out(several)).logprobs for model in (policy.model, masked.model)
        )
    assert (ours - theirs).abs().max() < 1e-5


def test_the_kernel_is_no_part_of_a_checkpoint(policy, tmp_path):
    assert policy.model.model.visual.config._attn_implementation == BY_TRAJECTORY
    policy.model.save_pretrained(tmp_path)
    assert BY_TRAJECTORY not in (tmp_path / "config.json").read_text()
