"""FSDP2 as a Lightning strategy: the policy is read, trained and kept in shards, block by block.

No rank but the first ever holds all of it. How the gradients of shards become a step is said in `exchanging`;
what is cut is the `Scorer`, in whose forward pass every weight is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import distributed as dist
from torch import nn
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from eva_lightning.policy.families import backbone
from eva_lightning.policy.loading import Policy, PolicyConfig, load_policy
from eva_lightning.policy.logprobs import Scorer
from eva_lightning.policy.merged_weights import is_sharded

FROM_FIRST = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
SOME_FROM_FIRST = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)
META = "meta.pt"
"""The file of a checkpoint folder that holds what is no tensor; the name is Lightning's."""


class FSDP2Strategy(ModelParallelStrategy):
    """Weights, gradients and the optimizer's state are shared out among all ranks (`strategy: fsdp2`)."""

    def __init__(
        self,
        save_distributed_checkpoint: bool = True,
        reshard_after_forward: bool = True,
        reduce_in_float32: bool = False,
    ) -> None:
        """
        Args:
            save_distributed_checkpoint: Each rank writes its shards into a folder; False gathers all on the
                first, for one file. Both go on with any number of ranks.
            reshard_after_forward: Give a block's weights back after its forward pass and gather them again
                for the backward; False takes the memory of all weights instead of that time.
            reduce_in_float32: Add up bfloat16 gradients as float32, for twice the traffic.
        """
        super().__init__(save_distributed_checkpoint=save_distributed_checkpoint)
        self.reshard_after_forward = reshard_after_forward
        reduced = torch.float32 if reduce_in_float32 else None
        self.types = MixedPrecisionPolicy(reduce_dtype=reduced, cast_forward_inputs=False)
        self._whole: nn.Module | None = None

    def _setup_distributed(self) -> None:
        super()._setup_distributed()
        self._data_parallel_size, self._tensor_parallel_size = self.world_size, 1

    def read(self, config: PolicyConfig) -> Policy:
        """The policy without its weights: the first rank alone reads them, and holds them until `setup`."""
        self._whole = load_policy(config).model if self.is_global_zero else None
        return load_policy(config, weights=False)

    def setup(self, trainer: Trainer) -> None:
        module: Any = self.lightning_module
        for scorer in module.scorers():
            if not is_sharded(scorer):
                self._cut(scorer)
            if any(weight.is_meta for weight in scorer.parameters()):
                self._pour_into(scorer)
        self._whole = None
        super().setup(trainer)

    def _cut(self, scorer: Scorer) -> None:
        """A group for each block, and one for the rest: embedding, norms, merger, head."""
        how: Any = {
            "mesh": self.device_mesh["data_parallel"],
            "reshard_after_forward": self.reshard_after_forward,
            "mp_policy": self.types,
        }
        for block in scorer.family.blocks(backbone(scorer.model)):
            fully_shard(block, **how)
        fully_shard(scorer, **how)

    def _pour_into(self, scorer: Scorer) -> None:
        """Shards of the weights that the first rank has read, and all buffers, which no checkpoint has."""
        scorer.to_empty(device=self.root_device)
        whole = self._whole
        read = whole.state_dict(prefix="model.") if whole is not None else {}
        set_model_state_dict(scorer, read, options=FROM_FIRST)
        for name, buffer in scorer.model.named_buffers():
            if whole is not None:
                buffer.copy_(whole.get_buffer(name))
            dist.broadcast(buffer, 0)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Weights and optimizer of a checkpoint, folder or file, that holds what is trained and no more."""
        path = Path(self.broadcast(checkpoint_path))
        if (path / META).is_file():
            return self._go_on_from_folder(path, weights_only)
        return self._go_on_from_file(path, weights_only)

    def _go_on_from_folder(self, path: Path, weights_only: bool | None) -> dict[str, Any]:
        model: Any = self.model
        kept = FileSystemReader(path).read_metadata().state_dict_metadata
        names = [name.removeprefix("state_dict.") for name in kept if name.startswith("state_dict.")]
        weights = {name: value for name, value in get_model_state_dict(model).items() if name in names}
        load({"state_dict": weights}, checkpoint_id=path)
        model.load_state_dict(weights, strict=False)
        for number, optimizer in enumerate(self.optimizers):  # none when it only evaluates
            state = {f"optimizer_{number}": get_optimizer_state_dict(model, optimizer)}
            load(state, checkpoint_id=path)
            set_optimizer_state_dict(model, optimizer, state[f"optimizer_{number}"])
        rest: dict[str, Any] = torch.load(path / META, weights_only=weights_only)
        return rest | {"state_dict": dict.fromkeys(names)}  # whose module looks whether it knows them

    def _go_on_from_file(self, path: Path, weights_only: bool | None) -> dict[str, Any]:
        model: Any = self.model
        checkpoint: dict[str, Any] = torch.load(
            path, mmap=True, map_location="cpu", weights_only=weights_only
        )
        names = model.state_dict().keys()
        weights = {name: value for name, value in checkpoint["state_dict"].items() if name in names}
        set_model_state_dict(model, weights, options=SOME_FROM_FIRST)
        for optimizer, state in zip(self.optimizers, checkpoint.get("optimizer_states", ()), strict=False):
            set_optimizer_state_dict(model, optimizer, by_name(state, optimizer, model), options=FROM_FIRST)
        return checkpoint


def by_name(state: dict[str, Any], optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Any]:
    """An optimizer's state with the names of weights for its numbers, whoever wrote it.

    A number says where a weight stands in the groups; how they are counted differs between strategies.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    called: dict[int, str] = {}
    for kept, group in zip(state["param_groups"], optimizer.param_groups, strict=True):
        if len(kept["params"]) != len(group["params"]):
            raise ValueError("loaded state dict of the optimizer has groups of another size")
        called |= zip(kept["params"], (names[parameter] for parameter in group["params"]), strict=True)
    return {
        "state": {called[number]: value for number, value in state["state"].items()},
        "param_groups": [
            group | {"params": [called[number] for number in group["params"]]}
            for group in state["param_groups"]
        ],
    }


@contextmanager
def gathered_in(root: nn.Module) -> Iterator[None]:
    """All weights whole on every rank, and nothing exchanged when a part of it is called.

    All ranks enter and leave it together, and may call as often as they like in between. The root has made a
    forward pass before.
    """
    parts = [part for part in root.modules() if isinstance(part, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not root, recurse=False)
