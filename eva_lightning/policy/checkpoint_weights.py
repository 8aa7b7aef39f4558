"""The weights of a checkpoint that any strategy wrote, without the ranks that wrote it.

A checkpoint is one file, a folder of FSDP2's shards, or one of DeepSpeed's. It holds what was trained, and no
more; the rest is read from where the run began. Checkpoints are data: nothing in one is run.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load

from eva_lightning.faults import UsageError, first_line
from eva_lightning.policy.loading import Policy

PREFIX = "model."
"""What stands before the names of the policy's weights: its place in the module of a stage."""
SHARDS = "state_dict."
META = "meta.pt"


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """What a checkpoint holds."""

    weights: Mapping[str, Tensor]
    """What was trained, by the names of the policy's model, adapter included."""
    rest: Mapping[str, Any]
    """All else: the iteration, what callbacks and data keep, what the run tells of itself."""


def read_checkpoint(path: Path) -> Kept:
    """Whatever a strategy wrote; UsageError says in one line why it can not be read."""
    try:
        weights, rest = _read(path)
    except (UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError) as problem:
        why = first_line(problem, 90)
        raise UsageError(
            f"{path}: is no checkpoint, or not all of one, or holds more than data ({why})"
        ) from None
    ours = {name.removeprefix(PREFIX): value for name, value in weights.items() if name.startswith(PREFIX)}
    if not ours:
        raise UsageError(f"{path}: holds no weights of a policy; give a checkpoint that `eva fit` wrote")
    return Kept(weights=ours, rest=rest)


def _read(path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    if path.is_file():
        held = _data(path)
        return held["state_dict"], {name: value for name, value in held.items() if name != "state_dict"}
    if (path / META).is_file():
        return _of_fsdp2(path), _data(path / META)
    whole = sorted((path / "checkpoint").glob("mp_rank_*_model_states.pt"))
    if whole:  # ZeRO-2: the first rank has all of them
        held = _data(whole[0])
        return held["module"], held
    parts = sorted((path / "checkpoint").glob("zero_pp_rank_*_model_states.pt"), key=_rank)
    if parts:
        held = _data(parts[0])
        return _of_zero3(path / "checkpoint", held["param_shapes"]), held
    raise UsageError(
        f"{path}: no such checkpoint; give the file or folder that a run wrote, such as last.ckpt"
    )


def _data(file: Path, trusted: Sequence[Any] = ()) -> Any:
    context: AbstractContextManager[Any] = nullcontext()
    if trusted:
        context = torch.serialization.safe_globals(list(trusted))
    with context:
        return torch.load(file, map_location="cpu", mmap=True, weights_only=True)


def _of_fsdp2(path: Path) -> dict[str, Tensor]:
    """Whole tensors from the shards of however many ranks."""
    listed: Mapping[str, Any] = FileSystemReader(path).read_metadata().state_dict_metadata
    wanted: dict[str, Any] = {
        name.removeprefix(SHARDS): torch.empty(found.size, dtype=found.properties.dtype)
        for name, found in listed.items()
        if name.startswith(SHARDS)
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # it is: there are no ranks here
        load({SHARDS.rstrip("."): wanted}, checkpoint_id=path, no_dist=True)
    return wanted


def _of_zero3(folder: Path, shapes: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Tensor]:
    """Each rank has a like part of every tensor, one behind the other, in float32; the last is padded."""
    files = sorted(folder.glob("*zero_pp_rank_*_optim_states.pt"), key=_rank)
    flat = [torch.cat(_shard(file)["fp32_flat_groups"]) for file in files]
    found, begin = dict[str, Tensor](), 0
    for group in shapes:
        for name, shape in group.items():
            count = math.prod(shape)
            share = -(-count // len(files))
            parts = [one[begin : begin + share] for one in flat]
            found[name] = torch.cat(parts)[:count].view(tuple(shape))
            begin += share
    if any(begin != len(one) for one in flat):
        raise ValueError(f"the shards of {len(files)} ranks do not add up")
    return found


def _shard(file: Path) -> Any:
    try:
        from deepspeed.runtime.fp16.loss_scaler import LossScaler
        from deepspeed.runtime.zero.config import ZeroStageEnum
    except ImportError:
        raise UsageError(
            "this checkpoint wants DeepSpeed, which is not here: pip install 'eva-lightning[deepspeed]'"
        ) from None
    return _data(file, (ZeroStageEnum, LossScaler))["optimizer_state_dict"]


def _rank(file: Path) -> int:
    return int(file.name.partition("zero_pp_rank_")[2].partition("_")[0])


@torch.no_grad()
def restore(policy: Policy, kept: Kept, place: object) -> None:
    """Write the weights of a checkpoint into the policy that it was trained from."""
    ours = dict(policy.model.named_parameters())
    trained = {name for name, value in ours.items() if value.requires_grad}
    strange = next((name for name in kept.weights if name not in ours), None)
    missing = next((name for name in sorted(trained) if name not in kept.weights), None)
    if strange or missing:
        said = f"holds {strange!r}, which this policy has not" if strange else f"does not hold {missing!r}"
        raise UsageError(
            f"{place}: {said}: it was trained from another model than {policy.path}; give --base"
        )
    for name, value in kept.weights.items():
        if ours[name].shape != value.shape:
            here, there = tuple(ours[name].shape), tuple(value.shape)
            raise UsageError(f"{place}: {name} is {there} there and {here} in {policy.path}; give --base")
        ours[name].copy_(value)
