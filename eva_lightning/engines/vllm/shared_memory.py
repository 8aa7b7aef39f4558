"""Weights through memory that trainer and server share: the receiving half, inside a vLLM worker.

For servers on the trainer's own machine, with or without a GPU; vLLM's own transfers (nccl, ipc) need one.
The sender is in weight_push.py; this file is imported by vLLM only, which the plugin told where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from eva_lightning.engines.vllm.bucket_file import mapped


@dataclass
class Nothing(WeightTransferInitInfo):  # type: ignore[misc]
    """There is nothing to agree upon beforehand."""


@dataclass
class Bucket(WeightTransferUpdateInfo):  # type: ignore[misc]
    """Some tensors, one behind the other in a file."""

    file: str
    """Its path; see bucket_file.py."""
    names: list[str]
    dtypes: list[str]
    shapes: list[list[int]]
    offsets: list[int]
    """Byte at which each tensor begins."""


class SharedMemoryReceiver(WeightTransferEngine):  # type: ignore[misc]
    """Reads tensors out of a file into the model, as from a checkpoint."""

    init_info_cls = Nothing
    update_info_cls = Bucket

    def init_transfer_engine(self, init_info: Nothing) -> None:
        """Nothing to do."""

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: Bucket) -> None:
        self.model.load_weights(_tensors(update_info))

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        """Nothing is kept open."""


def _tensors(bucket: Bucket) -> Iterator[tuple[str, Tensor]]:
    """Each tensor as a copy: a layer is put together from several, while the file holds the next ones."""
    kinds: list[Any] = [getattr(torch, name) for name in bucket.dtypes]
    ends = [
        offset + prod(shape) * kind.itemsize
        for offset, shape, kind in zip(bucket.offsets, bucket.shapes, kinds, strict=True)
    ]
    memory = torch.frombuffer(mapped(bucket.file, max(ends)), dtype=torch.uint8)
    for name, kind, shape, begin, end in zip(
        bucket.names, kinds, bucket.shapes, bucket.offsets, ends, strict=True
    ):
        yield name, memory[begin:end].view(kind).reshape(shape).clone()
