"""The device of this process: its own GPU, for models that nobody else places and threads that nobody told.

CUDA's current device belongs to a thread. Lightning sets that of the thread that trains; every other one
(tools, decoders, a judge, a push of weights) begins with the first GPU, which is another rank's. So it is
written down here, by `PolicyModule` when it is set up. Where the policy goes in training is Lightning's
business.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

_used: torch.device | None = None


def use_device(device: torch.device | None) -> None:
    """Write down what this process works on; None forgets it."""
    global _used
    _used = device


def own_card() -> torch.device:
    """Where a model or a decoder goes in this process.

    It is the device in use, else the GPU of the calling thread, else the CPU.
    """
    if _used is not None:
        return _used
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def on_card(device: torch.device) -> AbstractContextManager[object]:
    """Inside, the calling thread works on this GPU; a CPU needs nothing of the kind."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def wait_for(device: torch.device) -> None:
    """Wait until the GPU has done all it was told, on whatever stream.

    Threads may have different ones, and on different ones a tensor can be read before it is written.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
