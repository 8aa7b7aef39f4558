"""What a config asks for, as far as memory and time depend on it: the words of `eva fit`, made numbers.

The config is whole, with every default in it, as `eva fit --print_config` shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from eva_lightning.agent.rollout import Limits
from eva_lightning.engines.vllm.settings import VLLMSettings
from eva_lightning.faults import UsageError
from eva_lightning.policy.loading import Lora, PolicyConfig
from eva_lightning.policy.packing import PackingConfig

Stage = Literal["SFT", "KTO", "GRPO"]
Sharing = Literal["ddp", "fsdp2", "zero2", "zero3"]
Writer = Literal["policy", "vllm", "servers"]

STAGES: Mapping[str, Stage] = {"SFTModule": "SFT", "KTOModule": "KTO", "GRPOModule": "GRPO"}
WRITERS: Mapping[str, Writer] = {
    "TransformersEngine": "policy",
    "VLLMEngine": "vllm",
    "VLLMServerEngine": "servers",
}
STRATEGIES: Mapping[str, Sharing] = {
    "auto": "ddp",
    "ddp": "ddp",
    "ddp_find_unused_parameters_true": "ddp",
    "DDPStrategy": "ddp",
    "fsdp2": "fsdp2",
    "FSDP2Strategy": "fsdp2",
    "zero2": "zero2",
    "zero3": "zero3",
    "zero3_offload": "zero3",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One run."""

    stage: Stage
    """Which module trains."""
    policy: PolicyConfig
    """Which checkpoint, and what of it."""
    strategy: Sharing
    """How ranks share the policy out."""
    offload: bool
    """Whether the optimizer's state, and with zero3 the weights, lie on the host."""
    bucket_view: bool
    """Whether gradients lie in DDP's buckets, instead of beside them."""
    sharded: bool
    """Whether the optimizer's state is shared out under ddp."""
    batch: int
    """Records of an iteration, over all ranks."""
    attempts: int
    """Trajectories a record."""
    mini_batches: int
    """Optimizer steps of an iteration."""
    reference: bool
    """Whether every token is also read by a frozen policy."""
    pass_tokens: int
    """Tokens of the largest forward pass."""
    sequence_ranks: int
    """Ranks that read each row together."""
    frames_gib: float
    """GiB for what a frozen tower made of frames."""
    total_tokens: int
    """Tokens of the longest conversation."""
    concurrency: int
    """Trajectories under way at once, a rank."""
    writer: Writer
    """Who writes the turns."""
    vllm: VLLMSettings
    """How vLLM is set up, in process or as a server."""
    tensor_parallel: int
    """Cards that share one vLLM in process."""
    sleeps: bool
    """Whether vLLM gives its memory back while the policy learns."""
    own_cache: int
    """Tokens in the cache of the policy's own engine, at most."""
    servers: int
    """vLLM servers that the config names."""
    overlap: bool
    """Whether the next rollouts are made while these are learned from."""
    judges: tuple[str, ...]
    """Further checkpoints that every rank holds."""


def asked_by(config: Mapping[str, Any]) -> Asked:
    """What a whole config asks for; UsageError for what can not be planned."""
    stage = _among(STAGES, config["model"]["class_path"], "the model")
    module = config["model"]["init_args"]
    engine, policy = module.get("engine") or {}, dict(module["policy"])
    lora = policy.pop("lora", None)
    packing, limits = PackingConfig(**module["packing"] or {}), Limits(**_agent(module).get("limits") or {})
    settings = (engine.get("init_args") or {}) if engine else {}
    objective = module.get("objective") or {}
    strategy, offload = _strategy(config["trainer"].get("strategy") or "auto")
    urls = settings.get("urls") or []
    return Asked(
        stage=stage,
        policy=PolicyConfig(**policy, lora=Lora(**lora) if lora else None),
        strategy=strategy,
        offload=offload,
        bucket_view=_in_buckets(config["trainer"].get("strategy")),
        sharded=bool((module.get("optimizer") or {}).get("sharded")),
        batch=int(config["data"]["init_args"]["batch_size"]),
        attempts=int(module.get("attempts") or 1),
        mini_batches=int(module.get("mini_batches") or 1),
        reference=stage == "KTO" or float(objective.get("kl_weight") or 0) > 0,
        pass_tokens=max(packing.budget(torch.device("cuda")), limits.total_tokens),
        sequence_ranks=packing.sequence_ranks,
        frames_gib=packing.frames_gib,
        total_tokens=limits.total_tokens,
        concurrency=int(module.get("concurrency") or 64),
        writer=_among(WRITERS, engine["class_path"], "the engine") if engine else "policy",
        vllm=VLLMSettings(**settings.get("settings") or {}),
        tensor_parallel=int(settings.get("tensor_parallel") or 1),
        sleeps=bool(settings.get("sleep_level")),
        own_cache=max(int(settings.get("batch_tokens") or 0), limits.total_tokens),
        servers=1 if isinstance(urls, str) else len(urls),
        overlap=any(
            bool((one.get("init_args") or {}).get("overlap")) for one in config["trainer"]["callbacks"] or []
        ),
        judges=tuple(_judges(module)),
    )


def _in_buckets(strategy: Any) -> bool:
    how = (strategy.get("init_args") or {}) if isinstance(strategy, Mapping) else {}
    return bool((how.get("dict_kwargs") or how).get("gradient_as_bucket_view"))


def _agent(module: Mapping[str, Any]) -> Mapping[str, Any]:
    return module.get("agent") or {}


def _strategy(named: Any) -> tuple[Sharing, bool]:
    words: Mapping[str, Any] = named if isinstance(named, Mapping) else {"class_path": str(named)}
    name, how = str(words["class_path"]).rpartition(".")[2], words.get("init_args") or {}
    if name == "ZeroStrategy":
        return ("zero3" if how.get("stage") == 3 else "zero2"), bool(how.get("offload_optimizer"))
    return _among(STRATEGIES, name, "trainer.strategy"), name == "zero3_offload"


def _among(known: Mapping[str, Any], class_path: str, what: str) -> Any:
    name = class_path.rpartition(".")[2]
    if name not in known:
        raise UsageError(f"{what} is {name}, which can not be planned; want one of {', '.join(known)}")
    return known[name]


def _judges(part: Any) -> Iterator[str]:
    """The checkpoints that some part of a module reads beside the policy."""
    if isinstance(part, Mapping):
        if str(part.get("class_path", "")).endswith(".CheckpointEngine"):
            yield str(part["init_args"]["path"])
        for inner in part.values():
            yield from _judges(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _judges(inner)
