"""What is written and seen in bench/rollouts.py: a plan drawn from a seed, and worlds to look into."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.worlds.base import ClipFacts, Glimpse, Look, World
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.records import Clip, FrameRef, Task
from eva_lightning.video.decoder import Pixels
from eva_lightning.video.frame_store import FrameStore

TASKS, ATTEMPTS, TURNS = 8, 8, 4
MEDIAN, SPREAD, SHORTEST, LONGEST = 60, 0.6, 16, 192
CLIP_SECONDS = 300
DIALECT = EvaDialect()


@dataclass(frozen=True)
class PlannedTurn:
    """What a trained policy would have decided."""

    tokens: int
    """How many it writes."""
    says: str
    """What they are read as."""


Plan = Sequence[Sequence[PlannedTurn]]
"""The turns of every trajectory, in the order of the jobs."""


def draw_plan(seed: int) -> Plan:
    dice = random.Random(seed)
    plan = []
    for _ in range(TASKS):
        places = [dice.randrange(10, CLIP_SECONDS - 30) for _ in range(3)]
        for _ in range(ATTEMPTS):
            calls = [call(0, CLIP_SECONDS, 8)]
            for _ in range(TURNS - 1):
                start = dice.choice(places) + dice.randint(-2, 2)
                calls.append(call(start, start + 4, 4))
            plan.append([PlannedTurn(draw_length(dice), says) for says in calls])
    return plan


def draw_length(dice: random.Random) -> int:
    return round(min(max(MEDIAN * dice.lognormvariate(0, SPREAD), SHORTEST), LONGEST))


def call(start: int, end: int, frames: int) -> str:
    return DIALECT.call("frame_select", start_time=start, end_time=end, nframes=frames, resize=0.1)


def task(number: int, path: str) -> Task:
    begin = CLIP_SECONDS * number
    return Task(
        id=f"t{number}",
        question="Which colour has the thing that moves in front?",
        options=("red", "green", "blue"),
        clips=(Clip(id="v", path=path, begin=begin, end=begin + CLIP_SECONDS),),
    )


class Stills(World):
    """Frames that lie in memory. A look takes `delay` seconds, in which the processor is free."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.noise = np.random.default_rng(0).integers(0, 256, (64, 28, 56, 3), dtype=np.uint8)

    def describe(self, clip: Clip) -> ClipFacts:
        return ClipFacts(duration=CLIP_SECONDS, height=360, width=640, fps=25.0)

    async def look(self, clip: Clip, times: Sequence[float], height: int, width: int) -> list[Glimpse]:
        await asyncio.to_thread(time.sleep, self.delay)
        refs = [FrameRef(clip=clip.id, time=round(t, 6), height=height, width=width) for t in times]
        return [Glimpse(time=ref.time, content=ref) for ref in refs]

    def pixels(self, clip: Clip, frame: FrameRef) -> Pixels:
        return self.noise[round(frame.time) % 64]


class PerCall(World):
    """Video files as most loops read them: opened for each call, whose exact frames are decoded for it alone
    and kept as images for the rest of the conversation.
    """

    def __init__(self) -> None:
        self.shown: dict[tuple[Clip, FrameRef], Pixels] = {}
        self.facts = VideoWorld(FrameStore(device="pyav"))

    def describe(self, clip: Clip) -> ClipFacts:
        return self.facts.describe(clip)

    async def look(self, clip: Clip, times: Sequence[float], height: int, width: int) -> list[Glimpse]:
        return await asyncio.to_thread(
            self._decode, Look(clip=clip, times=tuple(times), height=height, width=width)
        )

    def _decode(self, look: Look) -> list[Glimpse]:
        once = VideoWorld(FrameStore(device="pyav", coarse="never", threads=0))
        glimpses = asyncio.run(once.look(look.clip, look.times, look.height, look.width))
        for frame in (glimpse.content for glimpse in glimpses):
            assert isinstance(frame, FrameRef)
            self.shown[look.clip, frame] = once.pixels(look.clip, frame)
        once.close()
        return glimpses

    def pixels(self, clip: Clip, frame: FrameRef) -> Pixels:
        return self.shown[clip, frame]

    def close(self) -> None:
        self.facts.close()
