"""Tells the core which GPU is this rank's. It moves nothing."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

from eva_lightning.card import settle


class OwnCard(Callback):
    """Decoders, judges and engines then work on the rank's own GPU, in whichever thread; without it those
    that begin in another thread than the trainer's take the first one.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        settle(trainer.strategy.root_device)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        settle(None)  # the next trainer of this process may have another
