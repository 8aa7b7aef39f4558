import io
import sys

import pytest

from eva_lightning.callbacks import AgentProgressBar, IterationCheckpoint
from eva_lightning.callbacks.progress import total_iterations
from tests.callbacks.acting import Acting, fit, loader, trainer

METRICS = {"train/loss": 0.25, "train/reward": [0.5, 1.5], "train/frames": 12.0, "train/other": 9.0}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_file_gets_a_line_now_and_then(tmp_path, capsys):
    module = Acting(metrics=METRICS, scores=[0.625])
    fit(tmp_path, module, [AgentProgressBar(every=3)], iterations=5, validate=1, enable_progress_bar=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("iter", "eval"))]
    assert [line.rsplit("  ", 1)[0] for line in lines[:2]] == [
        "iteration 1/5  loss 0.25  reward 0.5  frames 12",
        "iteration 3/5  loss 0.25  reward 1.5  frames 12",
    ]
    assert lines[2:] == ["evaluation after iteration 5  accuracy 0.625"]
    assert all(line.endswith(" s each") for line in lines[:2])


def test_a_terminal_gets_one_bar_through_all_epochs(tmp_path, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    module = Acting(metrics=METRICS, scores=[0.5, 0.75])
    fit(
        tmp_path,
        module,
        [AgentProgressBar()],
        iterations=2,
        max_epochs=2,
        validate=1,
        enable_progress_bar=True,
    )
    trainer(tmp_path, [AgentProgressBar()], enable_progress_bar=True).test(module, loader(2), verbose=False)
    shown = screen.getvalue()
    assert "| 4/4 [" in shown and "Epoch" not in shown and "iteration 1/" not in shown
    assert "loss=0.25, reward=1.5, frames=12" in shown and "eval=0.75" in shown and "other" not in shown
    assert "Evaluating" in shown and "Testing" in shown


def test_a_resumed_bar_begins_where_it_was(tmp_path, monkeypatch):
    fit(tmp_path, Acting(), [IterationCheckpoint(every=2)], iterations=4)
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    callbacks = [AgentProgressBar(), IterationCheckpoint(every=2)]
    fit(tmp_path, Acting(), callbacks, iterations=4, ckpt_path="last", max_epochs=2, enable_progress_bar=True)
    assert (
        "| 4/8 [" in screen.getvalue() and "| 8/8 [" in screen.getvalue() and "1/8" not in screen.getvalue()
    )


@pytest.mark.parametrize(
    ("limits", "total"),
    [
        ({"max_epochs": 3}, 12),
        ({"max_epochs": -1, "max_steps": 9}, 5),
        ({"max_epochs": 1, "max_steps": 99}, 4),
    ],
)
def test_the_end_is_known_in_iterations(tmp_path, limits, total):
    module = Acting(steps=2)
    made = fit(tmp_path, module, [], iterations=4, **limits)
    assert total_iterations(made, module) == total


def test_nothing_is_printed_if_so_wished(tmp_path, capsys):
    fit(tmp_path, Acting(), [AgentProgressBar(every=0)], iterations=3, enable_progress_bar=True)
    assert "iteration" not in capsys.readouterr().out
