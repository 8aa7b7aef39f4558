"""SFT: imitate a teacher's trajectories. Loss on what the teacher wrote, on nothing the world answered."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from eva_lightning.modules.base import PolicyModule
from eva_lightning.objectives.cross_entropy import cross_entropy
from eva_lightning.objectives.tally import Tally
from eva_lightning.policy.inputs import MicroBatch
from eva_lightning.policy.tokenized import tokenized
from eva_lightning.ranks import gathered
from eva_lightning.records import Trajectory


class SFTModule(PolicyModule):
    """Cross entropy on the teacher's turns. One batch of demonstrations is one optimizer step."""

    def training_step(self, batch: Sequence[Trajectory], batch_idx: int) -> None:
        self.phases = {}
        with self.phase("update"):
            served = [tokenized(trajectory, self.policy.renderer) for trajectory in batch]
            demonstrations = self.dealt(gathered([served]))
            totals = self.totals(demonstrations)

            def loss_of(micro: MicroBatch, places: list[int]) -> tuple[Tensor, Tally]:
                return cross_entropy(self.logprobs(micro).logprobs, totals=totals)

            metrics, tally = self.step(demonstrations, loss_of)
        self.finish(demonstrations, metrics | tally.means())
