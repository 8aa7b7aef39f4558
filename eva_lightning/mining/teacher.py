"""A teacher: any engine that is asked one thing at a time about frames of a clip. What is asked, and what the
reply means, is said elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.faults import EngineFault
from eva_lightning.records import Clip, FrameRef, Message, Part
from eva_lightning.video.decoder import Pixels
from eva_lightning.video.sampling import snap, spread
from eva_lightning.worlds.base import World

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
        messages = (Message(role="user", parts=tuple(parts)),)
        renderer = self.engine.renderer

        def pixels(frame: FrameRef) -> Pixels:
            return self.world.pixels(clip, frame)

        context = Context(
            messages=messages,
            ids=() if renderer is None else tuple(renderer.opening(messages)),
            pixels=pixels,
        )
        sampling = Sampling(temperature=temperature, max_tokens=max_tokens, seed=seed)
        try:
            return await asyncio.wait_for(self.engine.write(context, sampling), self.timeout)
        except TimeoutError:
            raise EngineFault(f"the teacher did not reply in {self.timeout:g} s") from None

    async def frames(self, clip: Clip, spans: Sequence[tuple[float, float]], count: int) -> list[Part]:
        """`count` frames, spread over some ranges of a clip, with their times; at least one of each range."""
        facts = await asyncio.to_thread(self.world.describe, clip)
        height, width = snap(facts.height, facts.width, min(1.0, self.side / min(facts.height, facts.width)))
        each = max(1, count // max(1, len(spans)))
        times = [time for start, end in spans for time in spread(start, min(end, facts.duration), each)]
        parts: list[Part] = []
        for number, glimpse in enumerate(
            await asyncio.to_thread(self.world.look, clip, times, height, width)
        ):
            parts += [f"{chr(10) if number else ''}Frame {number} at {glimpse.time:.1f} seconds: "]
            parts += [glimpse.content]
        return parts

    def all(self, asking: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
        """What comes of each, in order, some of them at once. In an event loop of its own."""
        made: dict[int, T] = {}
        queue = iter(enumerate(asking))

        async def worker(queue: Iterator[tuple[int, Callable[[], Coroutine[Any, Any, T]]]]) -> None:
            with self.engine.seat():
                await asyncio.sleep(0)  # every worker is seated before the first one asks
                for place, ask in queue:
                    made[place] = await ask()

        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.concurrency, len(asking))):
                    group.create_task(worker(queue))

        with self.engine.awake():
            asyncio.run(together())
        return [made[place] for place in range(len(asking))]
