"""A teacher: any engine that is asked one thing at a time about frames of a clip.

What is asked, and what the reply means, is said elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from eva_lightning.agent.worlds.base import World
from eva_lightning.engines.base import Engine, Sampling, Utterance
from eva_lightning.engines.single_turn import ask, caption, some_at_once
from eva_lightning.faults import VideoError
from eva_lightning.records import Clip, Part, Span
from eva_lightning.video.sampling import snap, spread

T = TypeVar("T")


class Teacher:
    """An engine, with patience for one reply and a way to show it frames."""

    def __init__(
        self, engine: Engine, world: World, *, side: int = 336, timeout: float = 300.0, concurrency: int = 4
    ) -> None:
        """
        Args:
            engine: Writes the replies.
            world: Reads the frames.
            side: Shorter side of a frame as shown, in pixels; smaller clips are not enlarged.
            timeout: Seconds to wait for one reply.
            concurrency: Replies under way at once.
        """
        self.engine, self.world = engine, world
        self.side, self.timeout, self.concurrency = side, timeout, concurrency

    async def ask(
        self, parts: Sequence[Part], clip: Clip, *, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Utterance:
        """The reply to one message; EngineFault if none comes in time."""
        sampling = Sampling(temperature=temperature, max_tokens=max_tokens, seed=seed)
        pixels = partial(self.world.pixels, clip)
        return await ask(self.engine, parts, pixels, sampling, clips=(clip,), timeout=self.timeout)

    async def frames(self, clip: Clip, spans: Sequence[Span], count: int) -> list[Part]:
        """`count` frames, spread over some ranges of a clip, with their times; at least one of each range."""
        facts = await asyncio.to_thread(self.world.describe, clip)
        if facts.size is None:
            raise VideoError(f"{clip.path or clip.id}: has no pictures to show a teacher")
        height, width = snap(*facts.size, min(1.0, self.side / min(facts.size)))
        each = max(1, count // max(1, len(spans)))
        times = [time for one in spans for time in spread(one.start, min(one.end, facts.duration), each)]
        parts: list[Part] = []
        for number, glimpse in enumerate(await self.world.look(clip, times, height, width)):
            parts += [caption(number, glimpse.time), glimpse.content]
        return parts

    def all(self, asking: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
        """What comes of each, in order, some of them at once. In an event loop of its own."""
        with self.engine.awake():
            return asyncio.run(some_at_once(self.engine, asking, self.concurrency))
