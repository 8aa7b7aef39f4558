"""vLLM as a server: its command line, a turn as its body and its reply, weights from GPU to GPU.

Who sends these, how often and to how many servers is the business of `server_engine` and `weight_push`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from eva_lightning.engines.http_json import HttpJson
from eva_lightning.engines.vllm.adapter import FinishedTurn, environment, is_read_only, read_version
from eva_lightning.engines.vllm.plugin import TRANSFER
from eva_lightning.engines.vllm.settings import VLLMSettings

CACHES = ("/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache")
"""All three hold what old weights computed."""
GUARD = "eva_lightning.engines.vllm.guard.Guard"
GENERATE = "/inference/v1/generate"


def server_environment(settings: VLLMSettings, cuda: bool) -> dict[str, str]:
    """What the server's process needs beside the words below, where the user did not set it otherwise.

    The routes for weights are for developers, and its plugins are to be those that are installed, not those
    of a checkout it happens to be started in.
    """
    return environment(settings, cuda) | {"VLLM_SERVER_DEV_MODE": "1", "PYTHONSAFEPATH": "1"}


def unpickles(transfer: str, cuda: bool) -> bool:
    """Whether a server reads pickles, which can run code: handles of GPU memory alone come as such."""
    return cuda and transfer == "ipc"


def server_words(words: Mapping[str, Any], *, host: str, port: int, transfer: str) -> list[str]:
    """The command line of vLLM's server. `words` are those of `engine_words`, and more of EngineArgs."""
    line = ["-m", "vllm.entrypoints.openai.api_server"]  # `vllm serve` does not find its build for CPUs
    backend = TRANSFER if transfer == "shared_memory" else transfer
    more = {
        "host": host,
        "port": port,
        "middleware": GUARD,
        "weight_transfer_config": {"backend": backend},
        "enable_scale_out": True,  # tokens in, tokens out
        "enable_prompt_tokens_details": True,  # how many were cached
        "disable_log_stats": True,
        "disable_uvicorn_access_log": True,
    }
    for name, value in {**words, **more}.items():
        flag = name.replace("_", "-")
        if value is True or value is False:
            line.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            line += [f"--{flag}", json.dumps(value) if isinstance(value, (dict, list)) else str(value)]
    return line


def generate_body(ids: Sequence[int], images: Sequence[tuple[str, str | None]], words: Any) -> dict[str, Any]:
    """A turn to be written: collapsed ids, and name and data URL of each image.

    The URL is None for one that the server knows by its name.
    """
    body: dict[str, Any] = {"token_ids": list(ids), "sampling_params": words, "return_token_ids": True}
    if images:
        body["content_parts"] = [{"type": "image_url", "url": url, "uuid": name} for name, url in images]
    return body


def is_cut_off(reply: Any) -> bool:
    """Whether a reply is a piece of a turn: the server was paused for new weights."""
    return bool(reply["choices"][0]["finish_reason"] == "abort")


def finished_turn(reply: Any) -> FinishedTurn:
    """A turn or a piece of one out of the server's reply. KeyError, IndexError or TypeError if it is none."""
    choice = reply["choices"][0]
    if choice["finish_reason"] not in ("stop", "length", "abort"):
        raise KeyError(f"finish_reason {choice['finish_reason']!r}")
    spans = choice.get("weight_versions") or ()
    cached = ((reply.get("usage") or {}).get("prompt_tokens_details") or {}).get("cached_tokens")
    return FinishedTurn(
        prompt_ids=reply["prompt_token_ids"],
        token_ids=tuple(choice["token_ids"]),
        logprobs=tuple(one["logprob"] for one in choice["logprobs"]["content"]),
        cut=choice["finish_reason"] == "length",
        cached=cached or 0,
        version=min((read_version(span["version"]) for span in spans), default=0),
    )


def device_push(server: HttpJson, weights: Callable[[], Iterable[tuple[str, Tensor]]], transfer: str) -> None:
    """Hand the weights over from GPU to GPU (nccl) or within one (ipc), with vLLM's own two halves."""
    from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
    from vllm.distributed.weight_transfer.clients import HTTPVLLMWeightSyncClient
    from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory

    class OwnWeights(WeightSource):  # type: ignore[misc]
        """Our weights in vLLM's words: 0.33 made a property of `metadata` and renamed the iteration."""

        def _metadata(self) -> list[Any]:
            return [ParamMeta(name, one.dtype, tuple(one.shape)) for name, one in weights()]

        metadata: Any = property(_metadata) if is_read_only() else _metadata

        def __iter__(self) -> Iterator[tuple[str, Tensor]]:
            return iter(weights())

        iter_full = __iter__

    class Client(HTTPVLLMWeightSyncClient):  # type: ignore[misc]
        """Its own does not know the token."""

        def _post(self, path: str, json: dict[str, Any] | None = None) -> None:
            server.post(f"/{path}", json, timeout=300)

    client = Client(server.url)
    if transfer == "ipc":
        from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

        init: Any = IPCTrainerInitInfo(rank=0)
    else:
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo
        from vllm.utils.network_utils import get_ip, get_open_port

        ranks = server.get("/get_world_size", timeout=60)["world_size"]
        init = NCCLTrainerInitInfo(
            master_address=get_ip(), master_port=get_open_port(), world_size=1 + ranks, rank=0
        )
    sender = WeightTransferTrainerFactory.trainer_init(init, client=client, source=OwnWeights())
    try:
        sender.send_weights()
    finally:
        sender.shutdown()
        client.shutdown_weight_transfer_engine()
