"""Everyone travels once, and no micro-batch is over its budget."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from eva_lightning.policy.packing import PackingConfig, pack


@given(st.lists(st.integers(1, 5000), max_size=60), st.integers(1, 20_000))
def test_every_trajectory_is_in_one_micro_batch_and_every_micro_batch_fits(lengths, budget):
    batches = pack(lengths, budget)
    assert sorted(place for places in batches for place in places) == list(range(len(lengths)))
    for places in batches:
        assert len(places) == 1 or sum(lengths[place] for place in places) <= budget


def test_short_ones_fill_what_long_ones_leave():
    assert pack([3, 9, 3, 1], 10) == [[1, 3], [0, 2]]


def test_a_gpu_is_filled_unless_the_config_says_how_far():
    cpu, gpu = torch.device("cpu"), torch.device("cuda:1")
    assert [PackingConfig().budget(device) for device in (cpu, gpu)] == [2048, 32768]
    assert PackingConfig(micro_batch_tokens=100).budget(gpu) == 100
