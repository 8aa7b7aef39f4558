"""An engine whose words come from a Python function: oracles, teachers, tests.

It samples nothing and has no weights.

With a renderer it leaves the same token record as a real engine, so that its trajectories can be trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from eva_lightning.engines.base import Context, Engine, Sampling, Utterance

if TYPE_CHECKING:
    from eva_lightning.policy.renderer import Renderer


class ScriptedEngine(Engine):
    """Lets `author` write every turn."""

    def __init__(self, author: Callable[[Context], str], renderer: Renderer | None = None) -> None:
        """
        Args:
            author: Writes the next turn, given the conversation.
            renderer: Turns the words into token ids; None keeps no ids.
        """
        self.author = author
        self.renderer = renderer

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        text = self.author(context)
        if self.renderer is None:
            return Utterance(text=text)
        ids = self.renderer.turn_ids(text)
        cut = len(ids) > sampling.max_tokens
        if cut:
            ids = ids[: sampling.max_tokens]
            text = self.renderer.decode(ids)
        return Utterance(text=text, token_ids=tuple(ids), logprobs=(0.0,) * len(ids), cut=cut)
