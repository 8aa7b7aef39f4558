"""The policy as it was when training began: what KTO and a KL term hold the policy against.

With an adapter it costs nothing: the adapter is switched off. With full weights it is a frozen copy, kept
outside the module's parameters, so that it is neither saved, nor sharded, nor optimised.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from eva_lightning.modules.refusals import refuse_copy_of_shards
from eva_lightning.policy.loading import Policy


class Reference:
    """Lends the frozen policy."""

    def __init__(self, policy: Policy) -> None:
        self._live = policy
        self._copy: Policy | None = None
        if not hasattr(policy.model, "disable_adapter"):
            refuse_copy_of_shards(policy.model)
            frozen = copy.deepcopy(policy.model).requires_grad_(False).eval()
            self._copy = replace(policy, model=frozen)

    @property
    def copies(self) -> list[Policy]:
        """Policies that it holds besides the live one."""
        return [] if self._copy is None else [self._copy]

    @contextmanager
    def policy(self, device: torch.device) -> Iterator[Policy]:
        """The frozen policy, on `device`, without gradients."""
        with torch.no_grad():
            if self._copy is not None:
                self._copy.model.to(device)
                yield self._copy
            else:
                adapter: Any = self._live.model
                with adapter.disable_adapter():
                    yield self._live
