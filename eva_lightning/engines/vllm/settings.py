"""Settings of vLLM, in our words; `adapter` says them in its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class VLLMSettings:
    """How vLLM is set up, in process and as a server."""

    max_length: int = 32_768
    """Tokens of the longest conversation, frames and the turn being written included."""
    max_sequences: int = 64
    """Turns written at once, at most."""
    batch_tokens: int = 16_384
    """Tokens read in one step, over all turns; without a GPU at least `max_length`."""
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
