"""Weights to vLLM servers: pause, start, update, finish, empty the caches, resume.

Turns under way are cut off: who asked for them gets what there is, and asks for the rest.
All servers get the same tensors in one pass over the policy, a bucket at a time, so that no second copy of
the model is needed anywhere. What a server must not do twice is said to it once. A server that fails on the
way is reported, and must not be asked again before it has been handed weights.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from eva_lightning.device import on_card, wait_for
from eva_lightning.engines.base import Weights
from eva_lightning.engines.http_json import HttpJson, Refused, Unreachable
from eva_lightning.engines.keys import is_here
from eva_lightning.engines.vllm.bucket_file import PREFIX, folder_for
from eva_lightning.engines.vllm.over_http import CACHES, device_push
from eva_lightning.faults import UsageError

Transfer = Literal["shared_memory", "nccl", "ipc"]
"""How weights travel: through the memory of one machine, between GPUs, or within one GPU."""

ALIGN = 64
WANTS = {
    "nccl": "nccl wants a server that was started with it, on another GPU than the trainer's (start it with "
    "CUDA_VISIBLE_DEVICES); on the same GPU give both shared_memory or ipc",
    "ipc": "ipc wants a server that was started with it, on the trainer's own GPU",
}
"""What to look at when weights did not go from GPU to GPU."""


def usual_transfer() -> Transfer:
    """What both sides take if they are told nothing."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return transfer_between(gpus, hidden=bool(os.environ.get("CUDA_VISIBLE_DEVICES")))


def transfer_between(gpus: int, *, hidden: bool) -> Transfer:
    """How weights travel between trainer and servers: nccl wants a GPU for each side.

    So it is nothing for a machine with one. Where CUDA_VISIBLE_DEVICES hides some, there are more than are
    seen.
    """
    return "nccl" if gpus > 1 or (gpus == 1 and hidden) else "shared_memory"


def push(
    servers: Sequence[HttpJson],
    weights: Weights,
    version: int,
    transfer: Transfer,
    *,
    device: torch.device,
    bucket_bytes: int = 2**28,
) -> dict[str, str]:
    """Hand the weights on `device` to all servers; addresses and problems of those that failed."""
    failed: dict[str, str] = {}

    def everywhere(step: Callable[[HttpJson], Any]) -> None:
        """One step on all servers that are still well, at the same time."""
        well = [server for server in servers if server.url not in failed]
        with ThreadPoolExecutor(max(len(well), 1)) as pool:
            for server, problem in zip(well, pool.map(lambda one: _problem(step, one), well), strict=True):
                if problem is not None:
                    failed[server.url] = problem

    everywhere(lambda server: server.post("/pause?mode=abort", again=True))
    if transfer == "shared_memory":
        _through_memory(servers, weights, version, bucket_bytes, everywhere)
    else:
        everywhere(lambda server: _from_device(server, weights, transfer, device))
        everywhere(
            lambda server: server.post("/update_weight_version", {"new_version": str(version)}, again=True)
        )
    for path in CACHES:
        everywhere(lambda server, path=path: _empty(server, path))  # type: ignore[misc]
    everywhere(lambda server: server.post("/resume", again=True))
    return failed


def _from_device(server: HttpJson, weights: Weights, transfer: Transfer, device: torch.device) -> None:
    """In a thread of its own, where vLLM, and a gathering of shards on the way, take the current GPU."""
    with on_card(device):
        wait_for(device)  # the trainer wrote the weights, in another thread and perhaps on another stream
        try:
            device_push(server, weights, transfer)
        except (
            Refused,
            Unreachable,
            OSError,
            RuntimeError,
            AssertionError,
        ) as problem:  # vLLM asserts devices
            raise RuntimeError(f"{str(problem) or type(problem).__name__}; {WANTS[transfer]}") from problem


def _empty(server: HttpJson, cache: str) -> None:
    reply = server.post(cache, again=True)
    if isinstance(reply, dict) and reply.get("success") is False:
        raise RuntimeError(f"{cache} did not succeed: something is still being written")


def _problem(step: Callable[[HttpJson], Any], server: HttpJson) -> str | None:
    try:
        step(server)
    except (Refused, Unreachable, OSError, RuntimeError) as problem:
        return str(problem)
    return None


def _through_memory(
    servers: Sequence[HttpJson],
    weights: Weights,
    version: int,
    bucket_bytes: int,
    everywhere: Callable[[Callable[[HttpJson], Any]], None],
) -> None:
    for server in servers:
        if not is_here(server.host):
            raise UsageError(
                f"{server.url} is on another machine, and shared memory does not reach it: give the server "
                "and the engine transfer=nccl"
            )
    everywhere(lambda server: server.post("/init_weight_transfer_engine", {"init_info": {}}))
    everywhere(lambda server: server.post("/start_weight_update"))
    for bucket in _buckets(weights(), bucket_bytes):
        with _as_file(bucket) as layout:
            everywhere(lambda server: server.post("/update_weights", {"update_info": layout}))
    everywhere(lambda server: server.post("/finish_weight_update", {"weight_version": str(version)}))


def _buckets(weights: Iterable[tuple[str, Tensor]], most: int) -> Iterator[list[tuple[str, Tensor]]]:
    """Tensors in parts of at most `most` bytes; a larger one goes alone."""
    bucket: list[tuple[str, Tensor]] = []
    size = 0
    for name, tensor in weights:
        if bucket and size + tensor.nbytes > most:
            yield bucket
            bucket, size = [], 0
        bucket.append((name, tensor))
        size += tensor.nbytes
    if bucket:
        yield bucket


@contextmanager
def _as_file(bucket: Sequence[tuple[str, Tensor]]) -> Iterator[dict[str, Any]]:
    """Write tensors one behind the other; what the receiver must know of it. The file is gone afterwards."""
    offsets: list[int] = []
    size = 0
    for _, tensor in bucket:
        offsets.append(size)
        size += -(-tensor.nbytes // ALIGN) * ALIGN
    with tempfile.NamedTemporaryFile(prefix=PREFIX, dir=folder_for(size)) as file:
        file.truncate(size)
        memory = torch.from_file(file.name, shared=True, size=size, dtype=torch.uint8)
        for (_, tensor), offset in zip(bucket, offsets, strict=True):
            flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
            memory[offset : offset + tensor.nbytes].copy_(flat)
        yield {
            "file": file.name,
            "names": [name for name, _ in bucket],
            "dtypes": [str(tensor.dtype).removeprefix("torch.") for _, tensor in bucket],
            "shapes": [list(tensor.shape) for _, tensor in bucket],
            "offsets": offsets,
        }
