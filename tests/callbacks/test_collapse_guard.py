import warnings

import pytest
import torch
from lightning.pytorch import Callback

from eva_lightning.callbacks import CollapseGuard, IterationCheckpoint
from eva_lightning.callbacks.collapse_signs import CollapseSigns
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
        ({"train/calls_worked": [0.8, 0.7]}, "iteration 4: only 70% of calls work (floor 80%)"),
        ({"train/truncated": [0.3, 0.4]}, "iteration 4: a limit ends 40% of trajectories (at most 30%)"),
        ({"train/clip/high": [0.0, 0.25]}, "iteration 4: the upper clip holds 25% of tokens"),
        ({"train/mismatch/k3": [0.01, 0.05]}, "iteration 4: engine and policy are 0.05 apart a token"),
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
        {"train/zero_variance_share": 1.0, "train/accuracy": 0.9},
        {"train/entropy": [2.0, 0.1], "train/accuracy": 0.9},
    ],
)
def test_what_is_sound_or_brief_or_not_logged_is_left_alone(tmp_path, metrics):
    assert said(tmp_path, metrics) == ([], 12)


def test_the_entropy_may_fall_slowly(tmp_path):
    slow = {"train/entropy": [2.0 * 0.9**i for i in range(12)]}
    assert said(tmp_path, slow, signs=CollapseSigns(window=4)) == ([], 12)
    assert len(said(tmp_path, slow, signs=CollapseSigns(window=20))[0]) == 1


def test_training_can_be_stopped_with_a_checkpoint(tmp_path):
    told, iterations = said(tmp_path, {"train/looked": 0.0}, action="stop", callbacks=[IterationCheckpoint()])
    assert iterations == 3 and told[0].endswith("; stopping")
    assert (tmp_path / "checkpoints/iteration-000003.ckpt").exists()


class Weighing(Callback):
    """Notes the weight after each iteration; an iteration of this module adds 1 to it."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, module, *_):
        if module.iteration:
            self.seen.append(float(module.weight[0]))


def test_it_goes_back_to_the_weights_from_before_and_on_with_the_next_tasks(tmp_path):
    """Bad from iteration 5: told after 7, when the weights are those of 4; the next ones are 5, 6, 7."""
    looked = [0.9] * 4 + [0.0] * 3 + [0.9] * 5
    module, weighing = Acting(metrics={"train/looked": looked}), Weighing()
    guard = CollapseGuard("rollback", patience=3)
    with pytest.warns(UserWarning, match="iteration 7: .*; going back to the weights of iteration 4$"):
        fit(tmp_path, module, [guard, IterationCheckpoint(every=2, keep=3), weighing], iterations=10)
    assert weighing.seen == [1, 2, 3, 4, 5, 6, 4, 5, 6]
    assert module.iteration == 10 and module.seen == list(range(10))  # no task twice
    last = torch.load(tmp_path / "checkpoints/iteration-000008.ckpt", weights_only=True)
    assert float(last["state_dict"]["weight"][0]) == 5


def test_what_was_saved_while_it_collapsed_is_never_gone_back_to(tmp_path):
    """Bad in 5 to 7 and 8 to 10: iteration 7 was saved anew when it was rolled back, with 4's weights."""
    module, weighing = Acting(metrics={"train/looked": [0.9] * 4 + [0.0] * 6 + [0.9]}), Weighing()
    guard = CollapseGuard("rollback", patience=3)
    with pytest.warns(UserWarning, match="iteration 10: .*; going back to the weights of iteration 7$"):
        fit(tmp_path, module, [guard, IterationCheckpoint(every=1, keep=None), weighing], iterations=12)
    assert weighing.seen == [1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5]


@pytest.mark.parametrize(
    ("every", "iterations", "words"),
    [(10, 3, "there is no checkpoint from before"), (1, 9, "it was rolled back 2 times already")],
)
def test_where_it_can_not_go_back_it_stops(tmp_path, every, iterations, words):
    """Bad from the beginning, or from iteration 2 on: told after 4 and 7, and stopped after 10."""
    looked = [0.0] if every == 10 else [0.9, 0.0]
    callbacks = [IterationCheckpoint(every=every, keep=None)]
    told, stopped = said(tmp_path, {"train/looked": looked}, action="rollback", callbacks=callbacks)
    assert stopped == iterations + (every == 1) and words in told[-1]


def test_a_run_that_is_taken_up_remembers_how_often_it_was_rolled_back(tmp_path):
    guard = CollapseGuard("rollback")
    guard.load_state_dict({"entropies": [1.0], "lasting": {}, "spoilt": [(2, 4), (5, 7)]})
    assert "2 times already" in guard._plan(None)
    assert guard.state_dict()["spoilt"] == [(2, 4), (5, 7)]
