"""The request to end (SIGTERM), heard on any rank and followed by all of them after the same iteration.

Lightning exchanges it between ranks from within the signal's handler, where the others may be exchanging
something else: ranks that are asked at once, as schedulers do, then wait for each other for ever. Here the
handler only takes note. One process alone is Lightning's; what is saved is the checkpoint's business.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer

from eva_lightning.ranks import most

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule


class AskedToEnd(Callback):
    """Ends training on all ranks together, after the iteration in which one was asked to."""

    def __init__(self) -> None:
        self._asked = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._asked = False
        if trainer.world_size == 1 or threading.current_thread() is not threading.main_thread():
            return

        def hear(signum: int, frame: Any) -> None:
            launcher: Any = trainer.strategy.launcher
            if launcher is not None and not self._asked:
                launcher.kill(signum)  # ranks that this process started
            self._asked = True

        signal.signal(signal.SIGTERM, hear)  # Lightning puts back what was before, as training ends

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.world_size > 1 and most(int(self._asked), pl_module.device):
            # The loops look at it next. There is no public way to say it.
            trainer._signal_connector.received_sigterm = True
