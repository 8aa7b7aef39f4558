"""Four ways to compare numbers, beside what numpy says of a thousand random ones."""

import numpy as np
import pytest

from eva_lightning.scoring import score
from eva_lightning.scoring.numbers import TOLERANCES, mean_relative_accuracy
from tests.making import task


@pytest.mark.parametrize(
    ("kind", "gold", "said", "value"),
    [
        ("number", 3.0, "3.04", 0.0),
        ("rounded", 3.0, "3.04", 1.0),  # the same first decimal
        ("rounded", 3.0, "2.6 metres", 0.5),  # the same integer
        ("rounded", 3.0, "2.4", 0.0),
        ("relative", 4.0, "3", 0.75),
        ("relative", 4.0, "9", 0.0),
        ("relative", -4.0, "-3", 0.75),
        ("relative", 0.0, "0", 1.0),
        ("relative", 0.0, "0.1", 0.0),
        ("mra", 100.0, "100", 1.0),
        ("mra", 100.0, "78", 0.6),  # 22 % off: six of ten tolerances allow it
        ("mra", 100.0, "40", 0.0),
        ("mra", 0.0, "1", 0.0),
        ("mra", 2.0, "two", 1.0),
        ("mra", 2.0, "two or three", 0.0),
        ("rounded", 2.0, "1e999", 0.0),
    ],
)
def test_a_number_is_as_good_as_its_kind_says(kind, gold, said, value):
    assert score(task(kind, gold), said).value == pytest.approx(value)


def test_mean_relative_accuracy_has_the_tolerances_of_vsi_bench():
    assert np.array_equal(TOLERANCES, 1 - np.linspace(0.5, 0.95, 10))


def test_a_thousand_random_numbers_agree_with_numpy():
    dice = np.random.default_rng(0)
    for _ in range(1000):
        gold, value = dice.integers(1, 20), dice.integers(0, 40) / 2
        theirs = (np.abs(value - gold) / gold <= 1 - np.linspace(0.5, 0.95, 10)).mean()
        assert mean_relative_accuracy(float(value), float(gold)) == pytest.approx(theirs)
        near = max(0.0, 1 - abs(value - gold) / gold)
        assert score(task("relative", float(gold)), str(value)).value == pytest.approx(near)
