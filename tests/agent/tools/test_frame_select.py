"""EVA's tool: what it accepts, what it clamps, and what it tells the model to mend."""

import asyncio

import pytest

from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.faults import ToolError
from eva_lightning.records import Clip, ToolCall
from tests.making import StillWorld

CLIP = (Clip(id="v", path="v.mp4"),)


def look(world=None, clips=CLIP, room=10**6, **arguments):
    arguments = {"start_time": 10, "end_time": 20, "nframes": 2, "resize": 0.5} | arguments
    call = ToolCall(name="frame_select", arguments=arguments, text="")
    return asyncio.run(FrameSelect().run(call, clips, world or StillWorld(duration=100.0), room))


def times(found):
    return [round(glimpse.time, 1) for glimpse in found.glimpses]


def test_two_frames_of_ten_to_twenty_at_half_size():
    found = look()
    assert times(found) == [10.0, 20.0]
    assert (found.glimpses[0].content.height, found.glimpses[0].content.width) == (168, 308)
    assert found.tokens == 2 * (6 * 11 + 16)


def test_clocks_strings_and_whole_floats_are_numbers_too():
    assert times(look(start_time="00:10", end_time="20.0", nframes="2", resize="0.5")) == [10.0, 20.0]
    assert times(look(nframes=2.0)) == [10.0, 20.0]


def test_a_missing_resize_is_the_native_size():
    assert look(resize=None).glimpses[0].content.height == 364  # 360 is nearest to 13 x 28


def test_a_range_is_clamped_to_the_clip():
    assert times(look(start_time=-5, end_time=500)) == [0.0, 100.0]


def test_a_moment_is_one_frame():
    assert times(look(start_time=37, end_time=37, nframes=8)) == [37.0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"start_time": None}, "start_time is missing"),
        ({"end_time": "soon"}, "'soon' is not a time"),
        ({"start_time": 30}, "end_time 20 is before start_time 30"),
        ({"start_time": 100, "end_time": 130}, "lies outside the video, which is 100.0 seconds long"),
        ({"nframes": None}, "nframes is missing"),
        ({"nframes": 0}, "at least 1"),
        ({"nframes": 2.5}, "whole number"),
        ({"nframes": "many"}, "nframes is 'many'"),
        ({"nframes": True}, "must be a number"),
        ({"nframes": 10**400}, "must be a number"),
        ({"resize": 0}, "must be above 0"),
        ({"resize": float("nan")}, "must be a number"),
        ({"resize": [1]}, "must be a number"),
    ],
)
def test_a_wrong_argument_is_named_for_the_model(arguments, complaint):
    with pytest.raises(ToolError, match=complaint):
        look(**arguments)


def test_nothing_is_decoded_when_no_frame_fits():
    world = StillWorld()
    with pytest.raises(ToolError, match="no room left"):
        look(world, room=50)
    assert world.looks == []


def test_of_several_clips_one_must_be_named():
    clips = (Clip(id="north"), Clip(id="south"))
    assert look(clips=clips, video="south").glimpses[0].content.clip == "south"
    assert look(clips=clips, video=1).glimpses[0].content.clip == "north"
    with pytest.raises(ToolError, match="must be one of north, south"):
        look(clips=clips)


def test_a_resize_beyond_all_numbers_is_capped_like_any_other():
    assert look(resize=1e308).glimpses[0].content == look(resize=1.0).glimpses[0].content


@pytest.mark.parametrize("name", ["start_time", "end_time", "nframes", "resize"])
@pytest.mark.parametrize(
    "value", ["9" * 60_000, "x" * 60_000, [[1] * 9000], {"a": {"b": "x" * 9000}}, True, "nan"]
)
def test_an_argument_that_is_no_number_is_told_in_a_line(name, value):
    with pytest.raises(ToolError) as mistake:
        look(**{name: value})
    assert len(str(mistake.value)) < 200


def test_a_clip_that_is_none_is_told_in_a_line():
    with pytest.raises(ToolError) as mistake:
        look(clips=(Clip(id="a", path="a.mp4"), Clip(id="b", path="b.mp4")), video="x" * 60_000)
    assert len(str(mistake.value)) < 200


@pytest.mark.parametrize("count", [10**9, 1e18, 1e300, "1e308", 10**300])
def test_a_billion_frames_are_a_million_of_which_the_budget_takes_a_few(count):
    world = StillWorld(duration=100.0)
    found = look(world, nframes=count, start_time=-1e308, end_time=1e308)
    ((_, moments, _, _),) = world.looks
    assert len(moments) == 705  # of 28 x 28 pixels: 1 token and 16 of its label each
    assert found.frames_cut == 1_000_000 - 705
