"""An engine that lags: it writes with the policy's weights of so many iterations ago, always.

What vLLM's turns are at most with as many batches ahead, made the same to the last bit in every run: to see
what staleness itself does to learning.
"""

from __future__ import annotations

from collections import deque

from torch import Tensor

from eva_lightning.engines.base import RefreshedEngine, Weights
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.policy.loading import Policy, PolicyConfig, load_policy


class LaggingEngine(TransformersEngine, RefreshedEngine):
    """Writes with a copy of the policy, and keeps the weights it is handed for `lag` iterations first."""

    def __init__(self, policy: Policy, lag: int = 0, max_batch: int = 64) -> None:
        """
        Args:
            policy: The model whose turns it writes.
            lag: Iterations by which its weights are behind; fewer in the beginning.
            max_batch: Turns written at once, at most.
        """
        super().__init__(load_policy(PolicyConfig(path=policy.path, dtype="float32")), max_batch)
        self._kept: deque[tuple[int, dict[str, Tensor]]] = deque(maxlen=lag + 1)

    def take_weights(self, weights: Weights, version: int) -> None:
        if not self._kept or self._kept[-1][0] != version:
            self._kept.append((version, {name: one.detach().clone() for name, one in weights()}))
        self.policy_version, oldest = self._kept[0]
        self.policy.backbone.load_state_dict(oldest, strict=False)
