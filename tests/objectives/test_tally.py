"""Measurements add up over micro-batches and ranks, and are divided once."""

import torch

from eva_lightning.objectives.tally import Tally, peak, total


def tally(*values):
    numbers = torch.tensor(values)
    return Tally(sums={"x": total(numbers)}, peaks={"x/max": peak(numbers)})


def test_the_mean_is_that_of_all_values_not_of_means():
    both = tally(1.0) + tally(2.0, 3.0, 6.0)
    assert both.means() == {"x": 3.0, "x/max": 6.0}


def test_nothing_counted_is_left_out_but_keeps_its_place():
    empty = tally()
    assert empty.means() == {}
    assert empty.sums["x"].tolist() == [0.0, 0.0]
    assert (empty + tally(4.0)).means() == {"x": 4.0, "x/max": 4.0}


def test_no_graph_is_kept():
    values = torch.ones(2, requires_grad=True)
    assert not total(values * 2).requires_grad and not peak(values * 2).requires_grad
