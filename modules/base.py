"""The base of the three stages: the policy, what its agent is made of, when training ends, what is kept.

A Lightning batch is a list of records and one iteration. How the agent acts is in `acting`, how weights move
in `stepping`; what is compared, and with what, is said in the stages; arithmetic is in `objectives`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from eva_lightning.agent.config import AgentConfig
from eva_lightning.device import use_device
from eva_lightning.engines.base import Engine
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.faults import UsageError
from eva_lightning.files.encoding import encode
from eva_lightning.modules.acting import EvaluationConfig
from eva_lightning.modules.ahead import Ahead
from eva_lightning.modules.checkpoint_version import refuse_unknown, stamp
from eva_lightning.modules.fsdp2 import FSDP2Strategy
from eva_lightning.modules.optimizing import OptimizerConfig, make_optimizer, obey
from eva_lightning.modules.refusals import (
    refuse_adapted_head,
    refuse_adapter_that_stays_whole,
    refuse_two_ways_to_share,
    refuse_unshareable_rows,
    refuse_unsound,
)
from eva_lightning.modules.stepping import SteppingModule
from eva_lightning.modules.telling import stage_of
from eva_lightning.modules.zero import ZeroStrategy
from eva_lightning.policy.loading import Policy, PolicyConfig, load_policy
from eva_lightning.policy.packing import PackingConfig
from eva_lightning.records import Trajectory


class PolicyModule(SteppingModule):
    """A policy that acts: base of SFT, KTO and GRPO."""

    def __init__(
        self,
        policy: PolicyConfig,
        optimizer: OptimizerConfig | None = None,
        packing: PackingConfig | None = None,
        agent: AgentConfig | None = None,
        evaluation: EvaluationConfig | None = None,
        engine: Callable[[Policy], Engine] = TransformersEngine,
        concurrency: int = 64,
        seed: int = 0,
    ) -> None:
        """
        Args:
            policy: Which checkpoint to train, and what of it.
            optimizer: Learning rate and schedule.
            packing: How trajectories share a forward pass.
            agent: How it speaks, what it can do and perceive, when it must end.
            evaluation: How validation and test answer their questions.
            engine: Who writes the turns; by default the policy itself, in this process.
            concurrency: Trajectories under way at once.
            seed: Dice of the rollouts.
        """
        super().__init__()
        self.automatic_optimization = False
        # checkpoints hold what is trained; the rest comes from the policy's folder
        self.strict_loading = False
        self.policy_config = policy
        self.optimizer_config = optimizer or OptimizerConfig()
        self.packing = packing or PackingConfig()
        self.evaluation = evaluation or EvaluationConfig()
        self.make_engine = engine
        self.cast(agent or AgentConfig())
        self.concurrency = concurrency
        self.ahead = Ahead(concurrency)
        self.seed = seed
        self.iteration = 0
        self._scorers = {}  # in no attribute of their own: the names in checkpoints are those of the model
        self.rollouts: list[Trajectory] = []
        self.evaluated: list[Trajectory] = []
        self.phases: dict[str, float] = {}
        self.counts: dict[str, float] = {}

    def setup(self, stage: str) -> None:
        """Before anything large is read."""
        use_device(self.trainer.strategy.root_device)  # for threads: decoders, judges and engines have some
        refuse_unsound(self.trainer)
        refuse_two_ways_to_share(self.trainer, self.optimizer_config)
        self.join()

    def configure_model(self) -> None:
        """Read the weights, once the strategy is ready for them."""
        if self._policy is None:
            self._policy = self._read()
            self.model = self._policy.model
            refuse_unshareable_rows(self.packing.sequence_ranks, self._policy.backbone)
            self.model.train()  # it was loaded for inference, in which gradient checkpointing does nothing
        self.engine = self.make_engine(self.policy)

    def _read(self) -> Policy:
        """The policy, or what the strategy reads in its stead."""
        strategy = None if self._trainer is None else self._trainer.strategy
        if isinstance(strategy, FSDP2Strategy | ZeroStrategy):
            return strategy.read(self.policy_config)
        return load_policy(self.policy_config)

    def configure_optimizers(self) -> Any:
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise UsageError(
                "nothing is trained: every weight is frozen; set policy.lora or unfreeze something"
            )
        refuse_adapted_head(self.trainer, self.policy.backbone)
        refuse_adapter_that_stays_whole(self.trainer, self.model)
        optimizer, schedule = make_optimizer(
            self.optimizer_config,
            self.model.parameters(),
            self.total_steps(),
            ranks=self.world_size,
            keeps_float32=isinstance(self.trainer.strategy, ZeroStrategy),
        )
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_train_start(self) -> None:
        """A checkpoint brings back the rates it was written with; those of the config hold."""
        schedule = self.lr_schedulers()
        if isinstance(schedule, LambdaLR):
            obey(self.optimizer_config, schedule)

    def steps_per_iteration(self) -> int:
        """Optimizer steps that one batch of records brings."""
        return 1

    def total_steps(self) -> int:
        """Optimizer steps until training ends. Lightning counts batches as if each were one step."""
        batches, limit = self.trainer.estimated_stepping_batches, self.trainer.max_steps
        if batches == float("inf"):
            return 10**9
        steps = int(batches) * self.steps_per_iteration()
        return steps if limit < 0 else min(steps, limit)

    def is_last_iteration(self, steps: int = 0) -> bool:
        """Whether training ends with this batch, as far as can be told; so many `steps` of it are to come."""
        trainer = self.trainer
        epochs, limit = trainer.max_epochs, trainer.max_steps
        last_epoch = epochs is not None and 0 <= epochs <= trainer.current_epoch + 1
        last_batch = trainer.is_last_batch and last_epoch
        return bool(trainer.should_stop or last_batch) or 0 <= limit <= trainer.global_step + steps

    def iterations_left(self) -> int:
        """Iterations that come after this one, as far as can be told: no more than these are sure to come."""
        trainer, steps = self.trainer, self.steps_per_iteration()
        if self.is_last_iteration(steps):
            return 0
        left, epochs, limit = float("inf"), trainer.max_epochs, trainer.max_steps
        if epochs is not None and epochs >= 0:
            whole = (epochs - trainer.current_epoch) * trainer.num_training_batches
            left = whole - (trainer.fit_loop.batch_idx + 1)
        if limit >= 0:  # an iteration may make fewer steps
            left = min(left, -(-(limit - trainer.global_step) // steps) - 1)
        return int(min(left, 10**9))

    def finish(self, trajectories: list[Trajectory], metrics: dict[str, float]) -> None:
        """The end of an iteration: what callbacks read, what loggers show."""
        ledgers = [trajectory.ledger for trajectory in trajectories]
        self.rollouts = trajectories
        self.counts = {
            "trajectories": len(trajectories),
            "tokens": sum(ledger.total for ledger in ledgers),
            "written": sum(ledger.written for ledger in ledgers),
            "frames": sum(len(trajectory.frames) for trajectory in trajectories),
        }
        self.iteration += 1
        self.weights_moved = False
        bar = {"loss", "reward", "accuracy", "frames"}
        for name, value in metrics.items():
            self.log(f"train/{name}", value, prog_bar=name in bar, batch_size=1, rank_zero_only=True)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Records stay where they are; Lightning would refuse to look into frozen ones."""
        return batch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}
        checkpoint["iteration"] = self.iteration
        checkpoint["told"] = {"policy": encode(self.policy_config), "stage": encode(stage_of(self))}
        stamp(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        refuse_unknown(checkpoint)
        ours = self.state_dict().keys()
        strange = [name for name in checkpoint.get("state_dict", ()) if name not in ours]
        if strange:  # nothing would be loaded, and nothing said
            raise UsageError(
                f"the checkpoint holds {strange[0]!r}, which this policy has not: it was trained with "
                "another policy.lora"
            )
        self.iteration = int(checkpoint["iteration"])

    def teardown(self, stage: str) -> None:
        self.drop_ahead()
        self.engine.close()
        use_device(None)  # the next trainer of this process may have another
