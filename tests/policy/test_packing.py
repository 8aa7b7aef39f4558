"""Everyone travels once, and no micro-batch is over its budget."""

from hypothesis import given
from hypothesis import strategies as st

from eva_lightning.policy.packing import PackingConfig, pack


@given(st.lists(st.integers(1, 5000), max_size=60), st.integers(1, 20_000), st.integers(0, 8000))
def test_every_trajectory_is_in_one_row_and_every_micro_batch_fits(lengths, budget, row):
    batches = pack(lengths, PackingConfig(micro_batch_tokens=budget, row_tokens=row))
    places = [place for rows in batches for one in rows for place in one]
    assert sorted(places) == list(range(len(lengths)))
    for rows in batches:
        widths = [sum(lengths[place] for place in one) for one in rows]
        assert len(rows) == 1 or len(rows) * max(widths) <= budget
        assert all(len(one) == 1 or width <= row for one, width in zip(rows, widths, strict=True))


def test_without_row_tokens_each_trajectory_has_its_own_row():
    assert pack([3, 9, 3], PackingConfig(micro_batch_tokens=9)) == [[[1]], [[0], [2]]]
