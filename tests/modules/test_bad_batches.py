"""Batches from which nothing can be learned, and numbers that are none: weights and optimizer stay clean."""

import warnings

import pytest
import torch

from eva_lightning.faults import Fault
from tests.modules.stages import Batches as Data
from tests.modules.stages import Coin, Watching, fit, make, moved, trainer, weights


class Breaking(Watching):
    """Makes the loss or a gradient of some iterations (from 1) not a number."""

    def __init__(self, iterations, what):
        super().__init__()
        self.iterations, self.what = iterations, what
        self.seen, self.clean = [], []

    def on_train_start(self, trainer, module):
        def broken(gradient):
            bad = self.what == "gradient" and module.iteration + 1 in self.iterations
            return gradient * float("inf") if bad else gradient

        module.policy.backbone.lm_head.weight.register_hook(broken)
        logprobs = module.logprobs

        def poisoned(*words, **more):
            found = logprobs(*words, **more)
            if self.what == "loss" and module.iteration + 1 in self.iterations:
                found.logprobs.data[0] = float("nan")
            return found

        module.logprobs = poisoned

    def on_train_batch_start(self, trainer, module, *_):
        self.before = weights(module)

    def on_train_batch_end(self, trainer, module, *words):
        super().on_train_batch_end(trainer, module, *words)
        self.seen.append(bool(moved(self.before, weights(module))))
        state = trainer.optimizers[0].state.values()
        self.clean.append(all(bool(torch.isfinite(value).all()) for one in state for value in one.values()))


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_no_number_moves_nothing_and_is_counted(what, taught, tiny_folder):
    breaking = Breaking({2, 3, 5}, what)
    with pytest.warns(UserWarning, match=r"iteration 2: loss .*; the weights were left alone"):
        made = trainer(callbacks=[breaking])
        made.fit(make("sft", tiny_folder), Data(*[taught] * 5))
    assert breaking.seen == [True, False, False, True, False]
    assert breaking.told("skipped") == [0, 1, 1, 0, 1]
    assert breaking.clean == [True] * 5
    assert all(value["step"] == 2 for value in made.optimizers[0].state.values())


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_three_of_them_in_a_row_stop_the_run(what, taught, tiny_folder):
    breaking, module = Breaking({2, 3, 4}, what), make("sft", tiny_folder)
    with pytest.raises(Fault, match=r"^iteration 4: loss .*, for the third time in a row: .*$"):
        fit(module, *[taught] * 6, callbacks=[breaking])
    assert breaking.seen == [True, False, False] and module.iteration == 3
    assert all(bool(torch.isfinite(one).all()) for one in module.model.parameters())


def test_groups_that_agree_teach_nothing_and_training_goes_on(world, tiny_folder):
    """The coin is worth something at the questions about the second clip only."""
    first, second = list(world.tasks[:2]), list(world.tasks[2:])
    coin = Coin(second[0].clips[0].id)
    watching = Breaking((), "nothing")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = make("grpo", tiny_folder, attempts=2, rewards=[coin])
        trainer(callbacks=[watching]).fit(module, Data(first, second, first))
    said = [str(one.message) for one in caught if "all rewards are equal" in str(one.message)]
    assert [one[:11] for one in said] == ["iteration 1", "iteration 3"]
    assert watching.seen == [False, True, False] and module.iteration == 3
    assert [watching.told(name) for name in ("updates", "zero_variance_share")] == [[0, 1, 0], [1, 0, 1]]
