"""A checkpoint that does not learn, in this process: the base model as a judge. Read when it is first asked.

For a judge on other machines take the server engine; for the policy itself, whatever the module acts with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from eva_lightning.device import own_card
from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.policy.loading import PolicyConfig, load_policy


class CheckpointEngine(Engine):
    """Writes with the frozen weights of a folder or hub id."""

    def __init__(self, path: str, max_batch: int = 16) -> None:
        """
        Args:
            path: Folder of a checkpoint, or its name on the model hub.
            max_batch: Turns written at once, at most.
        """
        self.path = path
        self.max_batch = max_batch

    @cached_property
    def _inner(self) -> TransformersEngine:
        policy = load_policy(PolicyConfig(path=self.path))
        policy.model.requires_grad_(False).eval()
        policy.model.to(own_card())  # the first to ask may be a thread that trains nothing
        return TransformersEngine(policy, max_batch=self.max_batch)

    @property
    def renderer(self) -> Any:  # type: ignore[override]  # read with the checkpoint, not before
        return self._inner.renderer

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        return await self._inner.write(context, sampling)

    def model_name(self) -> str:
        return self.path

    @contextmanager
    def seat(self) -> Iterator[None]:
        with self._inner.seat():
            yield

    def close(self) -> None:
        if "_inner" in self.__dict__:
            self._inner.close()
