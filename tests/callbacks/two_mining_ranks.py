"""Runs in each of two processes: GRPO with FailureMining, until mined tasks were asked; what this rank knows
goes to a file.

A program of test_failure_mining.py, not a test: a rank that waits for ever is killed from there.
"""

import sys
from pathlib import Path

import torch
from lightning.pytorch import Callback

from eva_lightning.callbacks import FailureMining
from eva_lightning.data.mining.world_author import WorldAuthor
from eva_lightning.datamodules import TaskData
from tests.modules.stages import Coin, make, trainer


class Until(Callback):
    """Notes what this rank is asked; ends the run two iterations after mined tasks have joined."""

    def __init__(self, data):
        self.data, self.asked = data, []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.asked.append([one.id for one in batch])
        added = self.data.loader.added
        if added and module.iteration == added[0][0] + 2:
            trainer.should_stop = True


if __name__ == "__main__":
    tiny, world, out = sys.argv[1:]
    data = TaskData(world, batch_size=4)
    mining, until = FailureMining(WorldAuthor(world), every=2, count=4, weight=0.5), Until(data)
    made = trainer(max_epochs=40, default_root_dir=out, callbacks=[mining, until], strategy="ddp", devices=2)
    made.fit(make("grpo", tiny, attempts=2, rewards=[Coin()]), data)
    found = {"asked": until.asked, "pool": data.state_dict(), "mining": mining.state_dict()}
    torch.save(found, Path(out) / f"{made.global_rank}.pt")
