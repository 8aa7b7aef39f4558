import pytest

from eva_lightning.callbacks import Throughput
from eva_lightning.callbacks.throughput import measures
from tests.callbacks.acting import Acting, fit


def test_rates_are_logged_with_every_iteration(tmp_path):
    found = fit(tmp_path, Acting(), [Throughput()], iterations=2).callback_metrics
    assert found["time/collect"] == 2.0 and found["time/update"] == 1.0
    assert found["time/looking_per_collect"] == 1.5
    assert found["throughput/tokens"] == pytest.approx(1000 / float(found["time/iteration"]), rel=1e-4)
    assert found["throughput/tokens"] / found["throughput/written"] == pytest.approx(10)
    assert 0.05 < found["throughput/peak_ram_gib"] < 64


def test_ranks_add_up_and_wait_for_the_slowest():
    fast = {
        "seconds": 2.0,
        "phases": {"update": 1.0},
        "counts": {"frames": 10},
        "peaks": {"peak_ram_gib": 3.0},
    }
    slow = {
        "seconds": 4.0,
        "phases": {"update": 2.0},
        "counts": {"frames": 30},
        "peaks": {"peak_ram_gib": 2.0},
    }
    assert measures([fast, slow]) == {
        "time/iteration": 4.0,
        "time/update": 1.5,
        "throughput/frames": 10.0,
        "throughput/peak_ram_gib": 3.0,
    }
