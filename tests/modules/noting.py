"""Callbacks for runs that are stopped: one notes what every iteration learned from, and pulls the plug."""

import json
import os
import signal
from pathlib import Path

from lightning.pytorch import Callback


class Preempted(Callback):
    """A cluster asks for the machine back after the first iteration."""

    def on_train_batch_end(self, *_):
        os.kill(os.getpid(), signal.SIGTERM)


class Noting(Callback):
    """Writes a line for every iteration; in the middle of iteration `die_in` the process is killed."""

    def __init__(self, log: str, die_in: int | None = None) -> None:
        """
        Args:
            log: File to write.
            die_in: Iteration that does not survive.
        """
        self.file, self.die_in = Path(log), die_in

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if module.iteration + 1 == self.die_in:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, trainer, module, *_):
        told = {
            name: float(value) for name, value in trainer.callback_metrics.items() if name[:6] == "train/"
        }
        learned = [(one.task.id, one.replica, one.turns[0].token_ids) for one in module.rollouts]
        rank = f".{trainer.global_rank}" if trainer.global_rank else ""
        with self.file.with_name(self.file.name + rank).open("a") as file:
            file.write(json.dumps([module.iteration, learned, told]) + "\n")
