"""Bars that are drawn whatever their interval: wide, narrow, or none at all."""

import pytest
from PIL import Image

from eva_lightning.reports.chart import Bar, Panel, save_chart


@pytest.mark.parametrize("spread", [0.0, 1e-6, 0.2, 1.0, 5.0])
def test_an_interval_of_any_width_can_be_drawn(spread, tmp_path):
    bars = [Bar(series=series, value=10.0, low=10.0 - spread, high=10.0 + spread) for series in range(3)]
    panel = Panel(title="frames", groups=[("all", bars)], spell=str)
    save_chart(tmp_path / "chart.png", ["sft", "kto", "grpo"], [[panel]])
    assert Image.open(tmp_path / "chart.png").size[0] > 100
