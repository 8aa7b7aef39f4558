"""What the three stages share: the policy, what its agent is made of, one optimizer step over micro-batches.

A Lightning batch is a list of records and one iteration. Optimisation is manual, so that an iteration may cut
its trajectories into as many micro-batches as fit and still be one step: losses are sums over *global*
counts, so 1 x 4 = 4 x 1 = two ranks. What is compared, and with what, is said in the stages; arithmetic is in
`objectives`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from eva_lightning.modules.acting import ActingModule, EvaluationConfig
from eva_lightning.modules.optimizing import OptimizerConfig, make_optimizer, obey
from eva_lightning.modules.refusals import refuse_blurred_borders, refuse_unsound, refuse_whole_weights
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from eva_lightning.agent.config import AgentConfig
from eva_lightning.device import use_device
from eva_lightning.engines.base import Engine
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.faults import Fault, UsageError
from eva_lightning.objectives.tally import Tally
from eva_lightning.objectives.totals import Totals
from eva_lightning.policy.inputs import MicroBatch, TrajectoryInputs, lay_out, trajectory_inputs
from eva_lightning.policy.loading import Policy, PolicyConfig, load_policy
from eva_lightning.policy.logprobs import TokenLogprobs, token_logprobs
from eva_lightning.policy.packing import PackingConfig, pack
from eva_lightning.ranks import most, summed, together
from eva_lightning.records import Trajectory

LossOf = Callable[[MicroBatch, list[int]], tuple[Tensor, Tally]]
"""A micro-batch, and the place of each of its trajectories in the list, to its share of the loss and
measurements.
"""


class PolicyModule(ActingModule):
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
        self.strict_loading = (
            False  # checkpoints hold what is trained; the rest comes from the policy's folder
        )
        self.policy_config = policy
        self.optimizer_config = optimizer or OptimizerConfig()
        self.packing = packing or PackingConfig()
        self.evaluation = evaluation or EvaluationConfig()
        self.make_engine = engine
        self.cast(agent or AgentConfig())
        self.concurrency = concurrency
        self.seed = seed
        self.iteration = 0
        self.skipped_in_a_row = 0
        self.weights_moved = False  # since the last iteration that is over; a checkpoint of it is late then
        self.rollouts: list[Trajectory] = []
        self.evaluated: list[Trajectory] = []
        self.phases: dict[str, float] = {}
        self.counts: dict[str, float] = {}
        self._policy: list[Policy] = []  # a list, so that only `model` below is a registered submodule

    def setup(self, stage: str) -> None:
        """Before anything large is read."""
        use_device(self.trainer.strategy.root_device)  # for threads: decoders, judges and engines have some
        refuse_unsound(self.trainer)
        refuse_blurred_borders(self.policy_config, self.packing)

    def configure_model(self) -> None:
        """Read the weights, once the strategy is ready for them."""
        if not self._policy:
            self._policy.append(load_policy(self.policy_config))
            self.model = self.policy.model
            self.model.train()  # it was loaded for inference, in which gradient checkpointing does nothing
        self.engine = self.make_engine(self.policy)

    @property
    def policy(self) -> Policy:
        return self._policy[0]

    def configure_optimizers(self) -> Any:
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise UsageError(
                "nothing is trained: every weight is frozen; set policy.lora or unfreeze something"
            )
        refuse_whole_weights(self.trainer, self.model)
        optimizer, schedule = make_optimizer(
            self.optimizer_config, self.model.parameters(), self.total_steps(), self.world_size
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

    def is_last_iteration(self) -> bool:
        """Whether training ends with this batch, as far as can be told."""
        trainer = self.trainer
        epochs, steps = trainer.max_epochs, trainer.global_step + self.steps_per_iteration()
        last_epoch = epochs is not None and 0 <= epochs <= trainer.current_epoch + 1
        return bool(trainer.is_last_batch and last_epoch) or 0 <= trainer.max_steps <= steps

    # --- one optimizer step

    def micro_batches(self, trajectories: Sequence[Trajectory]) -> Iterator[tuple[MicroBatch, list[int]]]:
        """Trajectories as the model reads them, with the place of each in the list; frames are read as
        needed.
        """
        renderer = self.policy.renderer
        for rows in self.plan(trajectories):
            read = [[self._inputs(trajectories[place]) for place in row] for row in rows]
            yield lay_out(read, renderer.end_ids[0]).to(self.device), [place for row in rows for place in row]

    def _inputs(self, trajectory: Trajectory) -> TrajectoryInputs:
        policy = self.policy
        return trajectory_inputs(trajectory, policy.renderer, self.pixels(trajectory), policy.images)

    def logprobs(
        self, batch: MicroBatch, temperature: float = 1.0, policy: Policy | None = None
    ) -> TokenLogprobs:
        """What the policy (or another one) thinks of every written token."""
        banned = self.policy.renderer.banned_ids
        return token_logprobs(
            (policy or self.policy).model, batch, temperature=temperature, banned_ids=banned
        )

    def totals(self, trajectories: Sequence[Trajectory]) -> Totals:
        """What the losses of a step are divided by: the counts of all ranks."""
        mine = Totals.of(trajectory.ledger.written for trajectory in trajectories)
        tokens, sequences = summed(torch.tensor([mine.tokens, mine.sequences], device=self.device)).tolist()
        return Totals(tokens=tokens, sequences=sequences)

    def step(self, trajectories: Sequence[Trajectory], loss_of: LossOf) -> tuple[dict[str, float], Tally]:
        """One optimizer step on these trajectories. `loss_of` returns a micro-batch's share of the global
        loss.

        All ranks call it together. A rank with fewer micro-batches runs `idle` ones, so that every rank takes
        part in every exchange of gradients.
        """
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.zero_grad()
        total, tally = torch.zeros((), device=self.device), Tally()
        count = len(self.plan(trajectories))
        passes = most(count, self.device)
        for number, (batch, places) in enumerate(self.micro_batches(trajectories), start=1):
            loss, measured = loss_of(batch, places)
            # Data-parallel strategies take the mean over ranks, and the losses are to be added.
            self._backward(loss * self.world_size, exchange=number == passes)
            total, tally = total + loss.detach(), tally + measured
        for number in range(count + 1, passes + 1):
            self._backward(self._idle() * 0.0, exchange=number == passes)
        moved = self._move(optimizer, summed(total))
        optimizer.zero_grad()  # whoever writes next can have their memory
        return moved, together(tally)

    def _backward(self, loss: Tensor, exchange: bool) -> None:
        """Add to the gradients; ranks exchange theirs once a step, in the last pass."""
        strategy = self.trainer.strategy
        if isinstance(strategy, ParallelStrategy) and not exchange:
            with strategy.block_backward_sync():
                self.manual_backward(loss)
        else:
            self.manual_backward(loss)

    def plan(self, trajectories: Sequence[Trajectory]) -> list[list[list[int]]]:
        """Micro-batches of rows of places in the list."""
        return pack([trajectory.ledger.total for trajectory in trajectories], self.packing)

    def _idle(self) -> Tensor:
        """A forward pass that means nothing, for a rank that has nothing left to do."""
        ids = torch.tensor([*self.policy.renderer.end_ids[:1]] * 2, device=self.device)
        mask = torch.tensor([False, True], device=self.device)
        positions = torch.arange(2, device=self.device).expand(3, 2)
        one = TrajectoryInputs(ids=ids, loss_mask=mask, positions=positions)
        return self.logprobs(lay_out([[one]], int(ids[0]))).logprobs.sum()

    def _move(self, optimizer: Any, loss: Tensor) -> dict[str, float]:
        """Clip and step, unless loss or gradient is not finite: then the weights stay as they are."""
        limit = self.optimizer_config.max_grad_norm or float("inf")
        trained = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(trained, limit)
        finite = bool(torch.isfinite(norm)) and bool(torch.isfinite(loss))
        lr = optimizer.param_groups[0]["lr"]
        if finite:
            self.weights_moved = True
            optimizer.step()
            schedule = self.lr_schedulers()
            assert schedule is not None and not isinstance(schedule, list)
            schedule.step()
            self.skipped_in_a_row = 0
        else:
            self._refuse(float(loss), float(norm))
        return {"loss": float(loss), "grad_norm": float(norm), "lr": lr, "skipped": float(not finite)}

    def _refuse(self, loss: float, norm: float) -> None:
        self.skipped_in_a_row += 1
        said = (
            f"iteration {self.iteration + 1}: loss {loss:g}, gradient norm {norm:g}; "
            "the weights were left alone"
        )
        if self.skipped_in_a_row >= 3:
            raise Fault(f"{said}, for the third time in a row: lower the learning rate or look at the data")
        rank_zero_warn(said)

    # --- bookkeeping

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

    @property
    def world_size(self) -> int:
        return self.trainer.world_size

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Records stay where they are; Lightning would refuse to look into frozen ones."""
        return batch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}
        checkpoint["iteration"] = self.iteration

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
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
