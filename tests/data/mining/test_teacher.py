"""A teacher sees frames of the world it shares with the agent, whatever the agent's squares are."""

import asyncio

import pytest

from eva_lightning.data.mining.teacher import Teacher
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.records import Clip, FrameRef, Span
from tests.making import StillWorld


@pytest.mark.parametrize(("square", "size"), [(28, (140, 252)), (32, (128, 256))])
def test_its_frames_are_made_of_the_squares_of_whoever_acts_in_its_world(square, size):
    """140 of 360 lines; 4.4 and 7.8 squares of 32 pixels are 4 and 8."""
    world = StillWorld()
    world.square = square
    teacher = Teacher(ScriptedEngine([]), world, side=140)
    spans = [Span(clip="v", start=1.0, end=9.0)]
    parts = asyncio.run(teacher.frames(Clip(id="v", path="v.mp4"), spans, 2))
    frames = [part for part in parts if isinstance(part, FrameRef)]
    assert [(one.height, one.width, one.square) for one in frames] == [(*size, square)] * 2
