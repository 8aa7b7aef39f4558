"""A module that offers what callbacks rely on, and trains one number: the real ones would take a model each.

One batch is one iteration of `steps` optimizer steps under manual optimisation, as in the real modules.
"""

import lightning
import numpy as np
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from eva_lightning.modules.base import PolicyModule
from tests.making import trajectory


class Acting(lightning.LightningModule):
    def __init__(self, steps=2, metrics=None, scores=(), crash_in=None, crash_before=None):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.steps, self.metrics, self.scores, self.crash_in = steps, metrics or {}, list(scores), crash_in
        self.crash_before = crash_before  # the first step of this iteration
        self.iteration = 0
        self.weights_moved = False
        self.seen = []
        self.rollouts, self.evaluated = [], []
        self.phases = {"collect": 2.0, "update": 1.0, "looking": 3.0}
        self.counts = {"tokens": 1000, "written": 100, "frames": 20, "trajectories": 10}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)

    def steps_per_iteration(self):
        return self.steps

    is_last_iteration = PolicyModule.is_last_iteration

    def training_step(self, batch, batch_idx):
        if self.crash_before == self.iteration + 1:
            raise RuntimeError("a crash before anything was learned")
        for _ in range(self.steps):
            self.optimizers().zero_grad()
            self.manual_backward(-self.weight.sum())
            self.weights_moved = True
            self.optimizers().step()
        if self.crash_in == self.iteration + 1:
            raise RuntimeError("a crash inside an iteration")
        self.seen += batch
        self.rollouts = [trajectory(), trajectory(answer="C", replica=1)]
        self.iteration += 1
        self.weights_moved = False
        for name, values in self.metrics.items():
            value = values[min(self.iteration, len(values)) - 1] if isinstance(values, list) else values
            self.log(name, value, batch_size=1, rank_zero_only=True)

    def validation_step(self, batch, batch_idx):
        self.evaluated = [trajectory()]

    def test_step(self, batch, batch_idx):
        self.evaluated = [trajectory()]

    def on_validation_epoch_end(self):
        if self.scores and not self.trainer.sanity_checking:
            self.log("eval/accuracy", self.scores.pop(0), rank_zero_only=True)

    def taken_back(self):
        """Nothing is made in the background, and no engine has a copy."""

    def pixels(self, made):
        return lambda frame: np.full((frame.height, frame.width, 3), 128, np.uint8)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["iteration"] = self.iteration

    def on_load_checkpoint(self, checkpoint):
        self.iteration = checkpoint["iteration"]


def loader(count):
    return DataLoader(list(range(count)), batch_size=1, collate_fn=list)


def trainer(folder, callbacks, **arguments):
    return Trainer(
        **{
            "default_root_dir": folder,
            "callbacks": callbacks,
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "max_epochs": 1,
            "log_every_n_steps": 1,
            "num_sanity_val_steps": 0,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": any("Checkpoint" in type(one).__name__ for one in callbacks),
        }
        | arguments
    )


def fit(folder, module, callbacks, iterations=4, ckpt_path=None, validate=0, **arguments):
    """One fit; the trainer."""
    made = trainer(folder, callbacks, **arguments)
    made.fit(module, loader(iterations), loader(validate) if validate else None, ckpt_path=ckpt_path)
    return made
