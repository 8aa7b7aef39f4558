"""One call each to make a record for a test; only what the test is about needs to be said."""

import asyncio
import time

import numpy as np

from eva_lightning.agent.worlds.base import ClipFacts, Glimpse, World
from eva_lightning.faults import VideoError
from eva_lightning.records import Answer, Clip, FrameRef, Message, Observation, Task, Trajectory, Turn


def task(kind="choice", value="B", options=("red", "blue", "green"), grounds=(), **fields):
    options = options if kind in ("choice", "multi", "order") else ()
    fields = {"id": "t1", "clips": (Clip(id="v", path="v.mp4"),), "question": "What colour?"} | fields
    return Task(options=options, answer=Answer(kind=kind, value=value, grounds=grounds), **fields)


def frame(time=1.0, height=56, width=84, clip="v"):
    return FrameRef(clip=clip, time=time, height=height, width=width)


def trajectory(frames=2, **fields):
    """A look at `frames` frames, then the answer B; three ids a turn, one id and one image token a frame."""
    seen = tuple(frame(time=float(i)) for i in range(frames))
    look = Turn(
        text="look",
        token_ids=[11, 12, 13],
        logprobs=[-0.5, -0.25, -0.125],
        observation=Observation(parts=("<tool_response>", *seen)),
        observation_ids=[7, 9] * frames,
    )
    answer = Turn(text="<answer>B</answer>", token_ids=[14, 15, 16], logprobs=[-1.0, -2.0, -3.0])
    prompt = (Message(role="user", parts=("What colour?",)),)
    return Trajectory(
        **{
            "task": task(),
            "prompt": prompt,
            "prompt_ids": [1, 2, 3, 4],
            "turns": [look, answer],
            "stop": "answered",
            "answer": "B",
        }
        | fields
    )


class StillWorld(World):
    """Grey clips of a given length at 360 x 640: a world that needs no file. It counts what it is asked."""

    def __init__(self, duration=100.0, height=360, width=640, delay=0.0):
        self.facts = ClipFacts(duration=duration, height=height, width=width, fps=25.0)
        self.delay = delay
        self.looks = []

    def describe(self, clip):
        if clip.path == "broken.mp4":
            raise VideoError("broken.mp4: is not a video; give another file")
        return self.facts

    async def look(self, clip, times, height, width):
        await asyncio.to_thread(time.sleep, self.delay)
        self.looks.append((clip.id, tuple(times), height, width))
        refs = [FrameRef(clip=clip.id, time=round(t, 6), height=height, width=width) for t in times]
        return [Glimpse(time=ref.time, content=ref) for ref in refs]

    def pixels(self, clip, frame):
        return np.full((frame.height, frame.width, 3), 128, np.uint8)
