"""Engines: who writes the next tokens.

An engine sees the conversation and nothing else: no task, no gold answer, no video.

Token engines (those with a renderer) read `Context.ids`; text engines read `Context.messages`. Both read the
same frames through `Context.pixels`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eva_lightning.records import FrameRef, Message
from eva_lightning.video.decoder import Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from eva_lightning.engines.meter import Meter
    from eva_lightning.policy.renderer import Renderer


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to draw tokens."""

    temperature: float = 1.0
    """0 takes the likeliest token."""
    max_tokens: int = 2048
    """At most so many tokens in one turn."""
    seed: int = 0
    """Dice of this turn; the same seed draws the same tokens."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Context:
    """The conversation so far, as one engine call sees it."""

    messages: tuple[Message, ...]
    """Text and frame references, for text engines."""
    ids: tuple[int, ...]
    """The collapsed token track, ready for the next turn; empty for text engines."""
    pixels: Callable[[FrameRef], Pixels]
    """Reads a frame again; may decode, so call it in a thread."""
    name: Callable[[FrameRef], str] = repr
    """A name for the pixels of a frame, the same wherever they are shown: for caches."""
    task_id: str = ""
    """Which task this is: for logs, caches and scripts."""
    place: int = 0
    """Place of the trajectory in its rollout. Engines that batch order by it, so batches do not depend on
    timing."""

    @property
    def frames(self) -> tuple[FrameRef, ...]:
        """Every frame shown so far, in order: one for each image token of `ids`."""
        return tuple(frame for message in self.messages for frame in message.frames)


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """What an engine wrote."""

    text: str
    """The words, special tokens left out."""
    token_ids: tuple[int, ...] = ()
    """The sampled ids, the end-of-turn token included; empty for text engines."""
    logprobs: tuple[float, ...] = ()
    """Log-probability of each id under the distribution it was drawn from, rounded to 6 decimals."""
    weight_version: int = 0
    """Version of the weights that wrote it; the older one if they changed meanwhile."""
    cut: bool = False
    """True if `max_tokens` ended it."""
    faults: tuple[str, ...] = ()
    """What failed on the way, and was made good: a server that died, for example."""


class Engine(ABC):
    """The seam between the agent loop and whatever writes."""

    renderer: Renderer | None = None
    """Turns messages into ids; None for an engine that speaks text only."""
    meter: Meter | None = None
    """Counts what it was asked for; None for an engine that costs nothing but time on this machine."""
    policy_version: int = 0
    """Version of its weights: the iteration after which the policy had them. Every turn records it."""

    @property
    def square(self) -> int | None:
        """Side in pixels of the square that one visual token covers for it; None where that is not known."""
        return None if self.renderer is None else self.renderer.square

    @abstractmethod
    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        """The next turn. Raises EngineFault if the engine is out of reach."""

    def model_name(self) -> str | None:
        """Which model writes, for caches of what it wrote.

        None if its weights may change, so that nothing may be kept. May ask a server, so call it in a thread.
        """
        return None

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Held by each of a rollout's workers for as long as it may ask for more."""
        yield

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Held around a rollout. An engine that shares its device with the trainer sleeps outside."""
        yield

    def close(self) -> None:
        """Give back memory, files and connections."""


Weights = Callable[[], Iterable[tuple[str, "Tensor"]]]
"""A fresh pass over names and whole tensors of a policy, as its base checkpoint would hold them. Sharded
policies gather one tensor after the other on the way, so all ranks must go through all of it.
"""


class RefreshedEngine(Engine):
    """An engine with a copy of the policy's weights. It stays behind until it is handed the new ones."""

    shared: bool = False
    """True if there is one for all ranks, so that rank 0 alone hands over weights."""
    holds_weights: bool = True
    """False if it threw its weights away to make room: it must be handed some before it can write."""
    sleeps: bool = False
    """True if it gives memory back between rollouts, so that it can not write while the policy is trained."""
    refreshed_in_flight: bool = False
    """True if it can be handed weights while it writes: turns under way go on with the new ones."""

    @abstractmethod
    def take_weights(self, weights: Weights, version: int) -> None:
        """Write with these from now on; nothing computed with the old ones may be used again.

        Not to be called while something is being written, unless it can be refreshed in flight: then what was
        written of a turn stays, and is read anew.
        """

    @contextmanager
    def on_hold(self) -> Iterator[None]:
        """Held on every rank while an engine that all share is handed weights: no turn is begun meanwhile."""
        yield
