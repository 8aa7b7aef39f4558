"""A judge of the embedded world: what frames say of a question, by the script instead of the pixels.

It stands where a base model stands in EVA's completeness check, and is never wrong about what a frame shows:
what a right answer rests on can be rewarded, and measured, without a large model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from eva_lightning.data.synthesis.reading import Insight, find, sights
from eva_lightning.data.synthesis.script import Script
from eva_lightning.data.synthesis.search_reading import search
from eva_lightning.data.synthesis.searches import SEARCHES
from eva_lightning.data.synthesis.world import load_world
from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.faults import EngineFault
from eva_lightning.records import FrameRef, Task, Trajectory

UNKNOWN = "The frames do not show it."
"""What it says where they tell nothing."""


class FairReader:
    """Reads any frames of a world: what they say of a task, and whether they leave no other answer."""

    def __init__(self, scripts: Iterable[Script]) -> None:
        self.scripts = {script.id: script for script in scripts}
        self.shortest = min(script.shortest for script in self.scripts.values())

    def __call__(self, task: Task, frames: Sequence[FrameRef]) -> Insight:
        script = self.scripts[task.clips[0].id]
        if task.source in SEARCHES:
            return search(task, script, frames, self.shortest)
        return find(task, script, sights(frames, task, script), self.shortest)

    def proves(self, trajectory: Trajectory) -> bool:
        """Whether the frames of an attempt leave no other answer than the right one."""
        return self(trajectory.task, trajectory.frames).proven


class WorldJudge(Engine):
    """Answers questions of an embedded world from the frames that it is shown."""

    def __init__(self, world: str) -> None:
        """
        Args:
            world: Folder of the world.
        """
        files = load_world(Path(world))
        self._read = FairReader(files.scripts)
        self._tasks = {(one.clips[0].id, one.question): one for one in (*files.tasks, *files.held_out)}

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        (message,) = context.messages
        frames = message.frames
        said = self._read(self._asked(message.text, frames), frames).value
        return Utterance(text=UNKNOWN if said is None else said)

    def _asked(self, words: str, frames: Sequence[FrameRef]) -> Task:
        """The task whose words stand in a message with such frames; EngineFault if there is none."""
        for (clip, question), task in self._tasks.items():
            if frames and clip == frames[0].clip and question in words:
                return task
        raise EngineFault("WorldJudge knows no such question: give it the world that the tasks are from")
