"""DeepSpeed's ZeRO-2 and ZeRO-3 as a Lightning strategy, where every forward pass is one of its engine.

Beside FSDP2 it can keep the optimizer's state on the host. It owns gradients and clipping: how they become a
step is said in `exchanging`.
"""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy
from torch import nn

from eva_lightning.faults import UsageError
from eva_lightning.policy.loading import Policy, PolicyConfig, load_policy


class ZeroStrategy(DeepSpeedStrategy):
    """State and gradients (`strategy: zero2`), or weights, too (`zero3`), are shared out among all ranks."""

    def __init__(
        self,
        stage: Literal[2, 3] = 2,
        offload_optimizer: bool = False,
        offload_parameters: bool = False,
        read_into_shards: bool = False,
        zero: dict[str, Any] | None = None,
    ) -> None:
        """
        Args:
            stage: 2 shares out gradients and the optimizer's state, 3 the weights, too.
            offload_optimizer: Keep the optimizer's state on the host, and move the weights there.
            offload_parameters: Keep the weights on the host between their uses (stage 3).
            read_into_shards: Cut the weights while they are read (stage 3); False reads the whole policy on
                every rank's host first.
            zero: More words of DeepSpeed's `zero_optimization`.
        """
        if find_spec("deepspeed") is None:
            raise UsageError(
                "this trainer.strategy wants DeepSpeed, which is not here: "
                "pip install 'eva-lightning[deepspeed]', or take fsdp2"
            )
        if stage == 2 and (offload_parameters or read_into_shards):
            raise UsageError(
                "offload_parameters and read_into_shards want stage 3: stage 2 has whole weights"
            )
        super().__init__(config=_config(stage, offload_optimizer, offload_parameters, zero or {}))
        self.exclude_frozen_parameters = True  # they are read from the policy's folder
        self.read_into_shards = read_into_shards

    # --- one machine without a GPU will do, to see what it does

    def setup_environment(self) -> None:
        DDPStrategy.setup_environment(self)  # past the question for CUDA

    def setup_distributed(self) -> None:
        if self.root_device.type == "cuda":
            super().setup_distributed()
            return
        import deepspeed

        # Kernels that it would compile now, for what gloo can do.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        reset_seed()
        self.set_world_ranks()
        self._init_deepspeed_distributed()

    # --- weights

    def model_sharded_context(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Nothing: transformers can not read inside `deepspeed.zero.Init`."""
        self._init_config_if_needed()
        return nullcontext()

    def read(self, config: PolicyConfig) -> Policy:
        """The policy, in shards if so wished.

        transformers cuts as long as the config lives: what is read later, a judge for example, stays whole.
        """
        if not self.read_into_shards:
            return load_policy(config)
        from transformers.integrations.deepspeed import HfDeepSpeedConfig

        told = HfDeepSpeedConfig(self.config)  # type: ignore[no-untyped-call]
        policy = load_policy(config)
        del told
        return policy

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """DeepSpeed goes on with as many ranks as wrote it."""
        path = Path(checkpoint_path)
        wrote = len(list(path.glob("checkpoint/*zero_pp_rank_*_optim_states.pt")))
        if path.is_file() or (wrote and wrote != self.world_size):
            what = "one file, of another strategy" if path.is_file() else f"of {wrote} ranks"
            raise UsageError(
                f"ckpt_path {path}: is {what}; DeepSpeed goes on with a folder of as many ranks as there "
                f"are, here {self.world_size}; fsdp2 goes on with any number"
            )
        return super().load_checkpoint(checkpoint_path, weights_only)

    @property
    def _module(self) -> Any:
        return self.lightning_module

    def setup(self, trainer: Trainer) -> None:
        assert isinstance(self.config, dict)
        self.config["gradient_clipping"] = self._module.optimizer_config.max_grad_norm
        if any(weight.dtype == torch.bfloat16 for weight in self._module.parameters()):
            self.config["bf16"] = {"enabled": True}
        self.precision_plugin.convert_input = lambda data: data  # type: ignore[method-assign]  # records
        super().setup(trainer)

    def _setup_model_and_optimizer(
        self, model: nn.Module, optimizer: Any, lr_scheduler: Any = None
    ) -> tuple[Any, Any]:
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        return self._engine(
            model, self.config, optimizer=optimizer, lr_scheduler=lr_scheduler, model_parameters=trained
        )

    def _initialize_deepspeed_inference(self, model: nn.Module) -> None:
        kept = ("bf16", "zero_optimization") if self.zero_stage_3 else ("bf16",)
        assert isinstance(self.config, dict)
        config = {name: self.config[name] for name in kept if name in self.config}
        config["train_micro_batch_size_per_gpu"] = 1
        self.model, _ = self._engine(model, config, optimizer=None, model_parameters=[])

    def _engine(self, model: nn.Module, config: Any, **more: Any) -> tuple[Any, Any]:
        """DeepSpeed casts buffers with the weights, and rounded rotary frequencies would move late tokens."""
        import deepspeed

        index = self.root_device.index
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        engine, optimizer, _, _ = deepspeed.initialize(
            args=argparse.Namespace(device_rank=self.local_rank if index is None else index),
            config=config,
            model=model,
            dist_init_required=False,
            **more,
        )
        for name, buffer in model.named_buffers():
            buffer.data = buffers[name].to(buffer.device)
        return engine, optimizer

    # --- an iteration is no forward pass of the engine, as Lightning would have it: it holds many of them,
    # and rollouts and hand-overs beside

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        with self.precision_plugin.train_step_context():
            return self._module.training_step(*args, **kwargs)

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        with self.precision_plugin.val_step_context():
            return self._module.validation_step(*args, **kwargs)

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        with self.precision_plugin.test_step_context():
            return self._module.test_step(*args, **kwargs)


def _config(stage: int, optimizer: bool, parameters: bool, zero: dict[str, Any]) -> dict[str, Any]:
    """The words of DeepSpeed's config file."""
    cut: dict[str, Any] = {"stage": stage}
    if optimizer:
        cut["offload_optimizer"] = {"device": "cpu"}
    if parameters:
        cut["offload_param"] = {"device": "cpu"}
    return {
        "zero_allow_untested_optimizer": True,  # torch's AdamW
        "zero_force_ds_cpu_optimizer": False,
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": cut | zero,
    }
