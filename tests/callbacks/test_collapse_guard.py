import warnings

import pytest

from eva_lightning.callbacks import CollapseGuard, IterationCheckpoint
from tests.callbacks.acting import Acting, fit


def said(folder, metrics, iterations=12, callbacks=(), **arguments):
    """What the guard says, and how many iterations ran."""
    module = Acting(metrics=metrics)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(folder, module, [CollapseGuard(**{"patience": 3} | arguments), *callbacks], iterations=iterations)
    return [str(one.message) for one in caught if "iterations running" in str(one.message)], module.iteration


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"train/looked": [0.9, 0.1]}, "iteration 4: only 10% of trajectories look"),
        ({"train/well_formed": [0.9, 0.9, 0.4]}, "iteration 5: only 40% of trajectories are well-formed"),
        ({"train/zero_variance_share": [0.5, 0.9]}, "iteration 4: in 90% of groups all rewards are equal"),
        ({"train/entropy": [2.0, 1.1, 0.9]}, "iteration 5: entropy fell from 2 to 0.9"),
    ],
)
def test_each_sign_is_told_once_after_three_iterations(tmp_path, metrics, words):
    told, iterations = said(tmp_path, metrics)
    assert len(told) == 1 and told[0].startswith(words) and iterations == 12


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"train/looked": [0.1, 0.1, 0.9, 0.1, 0.1, 0.9]},
        {"train/entropy": [2.0, 1.5, 1.1]},
        {"train/zero_variance_share": 0.8},
    ],
)
def test_what_is_sound_or_brief_or_not_logged_is_left_alone(tmp_path, metrics):
    assert said(tmp_path, metrics) == ([], 12)


def test_the_entropy_may_fall_slowly(tmp_path):
    slow = {"train/entropy": [2.0 * 0.9**i for i in range(12)]}
    assert said(tmp_path, slow, window=4) == ([], 12)
    assert len(said(tmp_path, slow, window=20)[0]) == 1


def test_training_can_be_stopped_with_a_checkpoint(tmp_path):
    told, iterations = said(tmp_path, {"train/looked": 0.0}, action="stop", callbacks=[IterationCheckpoint()])
    assert iterations == 3 and told[0].endswith("; stopping")
    assert (tmp_path / "checkpoints/iteration-000003.ckpt").exists()
