"""The plugin that vLLM loads by itself in every process it starts: our way of handing it weights.

Named in pyproject.toml as an entry point of the group `vllm.general_plugins`. The receiver itself is imported
only by a worker that is told to use it.
"""

from __future__ import annotations

TRANSFER = "eva_shared_memory"
"""Name of our weight transfer among vLLM's own (nccl, ipc)."""


def register() -> None:
    """Called by vLLM; possibly more than once in a process."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    if TRANSFER not in WeightTransferEngineFactory._registry:  # registering twice is an error
        WeightTransferEngineFactory.register_engine(
            TRANSFER, "eva_lightning.engines.vllm.shared_memory", "SharedMemoryReceiver"
        )
