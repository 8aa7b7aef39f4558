"""Everyone travels once, and no micro-batch is over its budget."""

from hypothesis import given
from hypothesis import strategies as st

from eva_lightning.policy.packing import PackingConfig, pack


@given(st.lists(st.integers(1, 5000), max_size=60), st.integers(1, 20_000))
def test_every_trajectory_is_in_one_micro_batch_and_every_micro_batch_fits(lengths, budget):
    batches = pack(lengths, PackingConfig(micro_batch_tokens=budget))
    assert sorted(place for places in batches for place in places) == list(range(len(lengths)))
    for places in batches:
        assert len(places) == 1 or sum(lengths[place] for place in places) <= budget


def test_short_ones_fill_what_long_ones_leave():
    assert pack([3, 9, 3, 1], PackingConfig(micro_batch_tokens=10)) == [[1, 3], [0, 2]]
