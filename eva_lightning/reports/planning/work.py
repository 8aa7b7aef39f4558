"""Work: tokens, seconds and money of one iteration. Arithmetic only, on what is said of the hardware.

Learning is bound by arithmetic, writing by the memory that is read for each token. Decoding of videos,
rewards, and the hand-over of weights are left out: they run beside, or take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eva_lightning.faults import UsageError
from eva_lightning.reports.planning.architectures import Architecture
from eva_lightning.reports.planning.asked import Asked
from eva_lightning.reports.planning.memory import GB, cache_tokens, width

Card = Literal["A100", "H100", "H200", "L40S"]

CARDS: dict[Card, tuple[float, float, float]] = {
    "A100": (80, 312, 2039),
    "H100": (80, 989, 3350),
    "H200": (141, 989, 4800),
    "L40S": (48, 362, 864),
}
"""From the data sheets: gigabytes, dense bfloat16 TFLOP/s, GB/s of memory. A100 and H100 are those on SXM
boards."""


@dataclass(kw_only=True)
class Hardware:
    """What a run of a config would take: memory of a card, tokens, seconds and price of an iteration.

    Every other word is one of `eva fit` (--config grpo.yaml --trainer.strategy fsdp2 ...). Nothing is
    launched, and no weights are read: the architecture is that of the policy's folder, or of a known name.
    """

    gpus: int = 8
    """Cards that train, over all nodes."""
    gpu: Card = "H100"
    """Of which kind."""
    gpu_memory: float | None = None
    """Gigabytes of one; None is what that kind has."""
    server_gpus: int = 0
    """Further cards, on which vLLM servers write the turns; with VLLMServerEngine."""
    server_share: float = 0.9
    """Share of each of those for vLLM: settings.gpu_memory of `eva serve`."""
    architecture: str | None = None
    """Whose sizes to take: a folder or a name; None is policy.path, or Qwen2.5-VL-7B while there is none."""
    trajectory_tokens: int = 10_000
    """Tokens of a trajectory on the mean, frames included."""
    written_tokens: int = 800
    """Those of them that the policy writes."""
    visual_share: float = 0.8
    """Share of them that are frames."""
    mfu: float = 0.35
    """Share of the card's arithmetic that learning and reading reach."""
    bandwidth_share: float = 0.6
    """Share of the card's memory traffic that writing reaches."""
    tail: float = 1.3
    """How many times longer a rollout takes because some trajectories are longer than the mean."""
    price: float = 2.5
    """Dollars for a card and an hour."""

    def __post_init__(self) -> None:
        for name in ("gpus", "trajectory_tokens", "written_tokens", "mfu", "bandwidth_share", "tail"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name):g}: want more than 0")
        if self.server_gpus < 0 or self.price < 0 or not 0 <= self.visual_share <= 1:
            raise UsageError("server_gpus and price want 0 or more, visual_share a number from 0 to 1")
        if not 0 < self.server_share <= 1:
            raise UsageError(f"server_share is {self.server_share:g}: want more than 0 and at most 1")
        if self.gpu_memory is not None and not self.gpu_memory > 0:
            raise UsageError(f"gpu_memory is {self.gpu_memory:g}: want gigabytes, more than 0")
        if self.written_tokens >= self.trajectory_tokens:
            raise UsageError(
                f"written_tokens {self.written_tokens} are not fewer than trajectory_tokens "
                f"{self.trajectory_tokens}, of which they are a part"
            )

    @property
    def card(self) -> float:
        """Bytes of one card."""
        return (self.gpu_memory or CARDS[self.gpu][0]) * GB


@dataclass(frozen=True, kw_only=True)
class Work:
    """One iteration."""

    trajectories: int
    """Of all ranks."""
    tokens: int
    """In them, frames included."""
    learning: float
    """Seconds in which the policy learns."""
    writing: float
    """Seconds in which turns are written; 0 where nothing is."""
    seconds: float
    """Of the iteration: one after the other, or side by side."""
    cards: int
    """That are paid for."""
    price: float
    """In dollars."""


def work(asked: Asked, architecture: Architecture, hardware: Hardware) -> Work:
    """What an iteration takes."""
    count = asked.batch * asked.attempts
    tokens = count * hardware.trajectory_tokens
    arithmetic = CARDS[hardware.gpu][1] * 1e12 * hardware.mfu
    learning = tokens * flops(asked, architecture, hardware) / (hardware.gpus * arithmetic)
    writing = _writing(asked, architecture, hardware, count) if asked.stage == "GRPO" else 0.0
    seconds = max(learning, writing) if asked.overlap else learning + writing
    cards = hardware.gpus + hardware.server_gpus
    return Work(
        trajectories=count,
        tokens=tokens,
        learning=learning,
        writing=writing,
        seconds=seconds,
        cards=cards,
        price=seconds / 3600 * cards * hardware.price,
    )


def flops(asked: Asked, architecture: Architecture, hardware: Hardware) -> float:
    """Arithmetic of learning from one token of a trajectory, the tower's counted, per token on the mean."""
    forward = _forward(architecture, hardware)
    again = 1 if asked.policy.gradient_checkpointing else 0
    backward = 1 if asked.policy.lora else 2  # an adapter needs no gradients of the weights below it
    whole = 1 + backward + again + (1 if asked.reference else 0)
    whole += 1 if asked.mini_batches > 1 else 0  # the log-probs before the first of several steps
    whole += 2 if asked.stage == "KTO" else 0  # mismatched pairs, read by the policy and by the reference
    seen = 2 * architecture.vision * 4 * hardware.visual_share  # four patches a token
    look = whole if not asked.policy.freeze_vision and not asked.policy.lora else whole - backward - again
    head = 2 * architecture.head * hardware.written_tokens / hardware.trajectory_tokens
    return forward * whole + seen * look + head * (whole + 1)  # logits are always computed again


def _forward(architecture: Architecture, hardware: Hardware) -> float:
    """Arithmetic of reading one token: each weight of the layers once, and half of those before it."""
    inside = architecture.total - architecture.vision - architecture.embedding
    inside -= 0 if architecture.tied else architecture.head
    attention = 2 * hardware.trajectory_tokens * architecture.hidden * architecture.layers
    return 2.0 * inside + attention


def _writing(asked: Asked, architecture: Architecture, hardware: Hardware, count: int) -> float:
    """Seconds of the rollouts: all read once, and written token by token."""
    cards = hardware.server_gpus if asked.writer == "servers" else hardware.gpus
    if not cards:
        raise UsageError(
            "the turns are written by servers, but server_gpus is 0: say how many cards they have"
        )
    _, power, bandwidth = CARDS[hardware.gpu]
    each, together = width(asked, architecture), asked.tensor_parallel if asked.writer == "vllm" else 1
    engines = max(1, cards // together)
    at_once = min(count / engines, _at_once(asked, architecture, hardware) * together)
    read = architecture.total * each + at_once * hardware.trajectory_tokens / 2 * architecture.cached * each
    step = read / (together * bandwidth * 1e9 * hardware.bandwidth_share)
    writing = count / engines / at_once * hardware.written_tokens * step
    seen = 2 * architecture.vision * 4 * hardware.visual_share
    reading = count * hardware.trajectory_tokens * (_forward(architecture, hardware) + seen)
    return hardware.tail * (writing + reading / (cards * power * 1e12 * hardware.mfu))


def _at_once(asked: Asked, architecture: Architecture, hardware: Hardware) -> float:
    """Turns that an engine writes at once."""
    if asked.writer == "policy":
        return float(min(asked.concurrency, max(1, asked.own_cache // hardware.trajectory_tokens)))
    room = cache_tokens(asked, architecture, hardware.card) / hardware.trajectory_tokens
    return max(1.0, min(asked.vllm.max_sequences, asked.concurrency, room))
