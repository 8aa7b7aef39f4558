"""A world of scripts that are not rendered: it serves the frames on show, and nobody reads their pixels."""

import math

from eva_lightning.agent.config import AgentConfig, default_dialect
from eva_lightning.agent.worlds.base import ClipFacts, Glimpse, World
from eva_lightning.commands.synthesize import teach
from eva_lightning.records import FrameRef


class UnrenderedWorld(World):
    """Clips by their ids; times are on the grid of frames, as those of a file are."""

    def __init__(self, scripts):
        self.scripts = {script.id: script for script in scripts}

    def describe(self, clip):
        script = self.scripts[clip.id]
        return ClipFacts(
            duration=float(script.duration), height=script.height, width=script.width, fps=float(script.fps)
        )

    async def look(self, clip, times, height, width):
        fps = self.scripts[clip.id].fps
        grid = [math.floor(time * fps + 1e-6) / fps for time in times]
        refs = [FrameRef(clip=clip.id, time=round(time, 6), height=height, width=width) for time in grid]
        return [Glimpse(time=ref.time, content=ref) for ref in refs]


def attempts(teacher, scripts, tasks, number=1):
    """What a teacher does with EVA's tool and a tiny policy's spelling, without a file."""
    agent = AgentConfig(dialect=default_dialect(seconds=True), world=UnrenderedWorld(scripts))
    return teach("teacher", teacher, tasks, number, agent, 0)
