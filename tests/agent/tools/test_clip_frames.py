"""get_video_clip_frame: dense frames of a range with their true times, and errors in words for the model."""

import asyncio

import pytest

from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.faults import ToolError, UsageError
from eva_lightning.records import Clip, ToolCall
from tests.making import StillWorld

ONE = (Clip(id="v", path="v.mp4"),)


def look(world=None, clips=ONE, room=30_000, tool=None, **arguments):
    arguments = {"start_time": 10, "end_time": 20} | arguments
    tool = tool or ClipFrames()
    call = ToolCall(name=tool.name, arguments=arguments, text="")
    return asyncio.run(tool.run(call, clips, world or StillWorld(duration=100.0), room))


def times(found):
    return [round(glimpse.time, 2) for glimpse in found.glimpses]


def test_two_frames_a_second_of_64_tokens_at_most():
    found = look(end_time=12)
    assert times(found) == [10.0, 10.5, 11.0, 11.5]
    frame = found.glimpses[0].content
    assert (frame.height, frame.width) == (168, 280)  # 6 x 10 squares; 6 x 11 would be 66
    assert found.tokens == 4 * (60 + 16) and found.frames_cut == 0
    assert [str(span) for span in found.spans] == ["10 to 12 s"]


def test_a_long_range_is_64_frames_spread_evenly():
    found = look(start_time=0, end_time=96)
    assert len(times(found)) == 64 and times(found)[:3] == [0.0, 1.5, 3.0] and times(found)[-1] == 94.5


def test_rate_number_and_size_are_settings():
    found = look(tool=ClipFrames(fps=1, frames=4, frame_tokens=1), end_time=13)
    assert times(found) == [10.0, 11.0, 12.0] and found.glimpses[0].content.height == 28
    assert times(look(tool=ClipFrames(fps=1, frames=4), end_time=20)) == [10.0, 12.5, 15.0, 17.5]


def test_less_room_is_fewer_frames_of_the_whole_range():
    found = look(room=5 * 76)
    assert times(found) == [10.0, 12.0, 14.0, 16.0, 18.0] and found.frames_cut == 15


def test_nothing_is_decoded_when_no_frame_fits():
    world = StillWorld()
    with pytest.raises(ToolError, match="no room left"):
        look(world, room=50)
    assert world.looks == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"start_time": 20}, "start_time 20 must be before end_time 20"),
        ({"start_time": 30}, "start_time 30 must be before end_time 20"),
        ({"start_time": -1}, "start_time is -1; it must be 0 or more"),
        ({"end_time": 100.5}, "end_time is 100.5; the video is 100.00 seconds long"),
        ({"start_time": 100, "end_time": 130}, "lies outside the video"),
        ({"end_time": 11}, "10 to 11 seconds is too short; the window must be longer than 1 seconds"),
        ({"end_time": None}, "end_time is missing"),
        ({"end_time": "soon"}, "'soon' is not a time"),
        ({"start_time": True}, "is not a time"),
    ],
)
def test_a_range_that_the_released_code_refuses_is_refused_in_words(arguments, complaint):
    with pytest.raises(ToolError, match=complaint):
        look(**arguments)


def test_a_range_may_be_cut_to_the_video_instead():
    tool = ClipFrames(outside="clamp")
    assert times(look(tool=tool, start_time=-5, end_time=2)) == [0.0, 0.5, 1.0, 1.5]
    assert times(look(tool=tool, start_time=98, end_time=130)) == [98.0, 98.5, 99.0, 99.5]
    with pytest.raises(ToolError, match="99.5 to 100 seconds is too short"):
        look(tool=tool, start_time=99.5, end_time=130)
    with pytest.raises(ToolError, match="lies outside the video"):
        look(tool=tool, start_time=110, end_time=130)


def test_without_a_shortest_length_a_moment_is_one_frame():
    assert times(look(tool=ClipFrames(longer_than=0), start_time=20)) == [20.0]


def test_of_several_clips_one_must_be_named():
    clips = (Clip(id="north"), Clip(id="south"))
    assert look(clips=clips, video="south").glimpses[0].content.clip == "south"
    with pytest.raises(ToolError, match="must be one of north, south"):
        look(clips=clips)


@pytest.mark.parametrize(
    "wrong", [{"fps": 0}, {"frames": 0}, {"frame_tokens": 0}, {"longer_than": -1}, {"calls": 0}]
)
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(UsageError, match="want fps above 0"):
        ClipFrames(**wrong)
