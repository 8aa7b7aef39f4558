"""A question and its frames, to whoever is asked; and a reply that is to be JSON, read as it comes: fenced or
not, and nothing that a file could not hold.
"""

import asyncio
import time

import pytest

from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.engines.single_turn import ask, json_of
from eva_lightning.policy.renderer import Renderer
from eva_lightning.records import Clip, FrameRef
from tests.making import StillWorld


@pytest.mark.parametrize(("square", "size"), [(28, (84, 140)), (32, (96, 128)), (None, (84, 140))])
def test_frames_are_shown_in_the_squares_of_whoever_is_asked(square, size, tiny_folder):
    """3 and 5 squares of 28 pixels are 2.6 and 4.4 of 32; who says nothing of squares gets them as is."""
    seen = []

    def author(context):
        seen.extend(context.frames)
        return "a car"

    renderer = None if square is None else Renderer.from_pretrained(tiny_folder)
    if renderer is not None:
        renderer.square = square
    frame, clip = FrameRef(clip="v", time=1.0, height=84, width=140), Clip(id="v", path="v.mp4")
    world, engine = StillWorld(), ScriptedEngine(author, renderer)
    said = asyncio.run(ask(engine, ["What is it?", frame], world.reader([clip]), clips=[clip]))
    assert said.text == "a car" and [(one.height, one.width) for one in seen] == [size]


@pytest.mark.parametrize(
    "reply",
    [
        '{"a": 1}',
        ' {"a": 1}\n',
        '```json\n{"a": 1}\n```',
        '```\n{"a": 1}```',
        '```json \n\n{"a": 1}\n\n```\n',
    ],
)
def test_json_may_stand_in_a_fence(reply):
    assert json_of(reply) == {"a": 1}


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("", "Expecting value at column 1"),
        ('```json {"a": 1}```', "Expecting value"),
        ("```", "Expecting value"),
        ('{"a": 1} so', "Extra data at column 10"),
        ("[" * 33 + "]" * 33, "nested more than 32 deep"),
        ("[" * 100_000, "nested too deeply"),
        ("[NaN]", "NaN is no number in JSON"),
        ("[1e999]", "1e999 is too large for a number"),
        ("[" + "1" * 5000 + "]", "a whole number of 5000 digits; at most 18 are read"),
        ('["\\ud800"]', "half a character"),
        ('{"a": 1, "a": 2}', "'a' stands there twice"),
    ],
)
def test_what_else_a_reply_is_is_said_in_a_line(reply, said):
    with pytest.raises(ValueError) as problem:
        json_of(reply)
    assert said in str(problem.value)


@pytest.mark.parametrize("reply", ["```json" + "\n" * 1500 + "x" + "\n" * 1500 + "```x", "```\n" * 16_000])
def test_a_fence_that_never_closes_is_read_in_no_time(reply):
    began = time.process_time()
    with pytest.raises(ValueError):
        json_of(reply)
    assert time.process_time() - began < 1.0
