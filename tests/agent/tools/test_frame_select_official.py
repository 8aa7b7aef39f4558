"""The released evaluator's habits, beside what the default does with the same call."""

import asyncio

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.tools.frame_select_official import OfficialFrameSelect
from eva_lightning.faults import ToolError
from eva_lightning.records import ToolCall
from eva_lightning.video.sampling import Budget
from tests.making import StillWorld, task


def look(tool, size=(360, 640), **arguments):
    call = ToolCall(name="frame_select", arguments={"nframes": 3, "resize": 0.1, **arguments}, text="")
    world = StillWorld(duration=100.0, height=size[0], width=size[1])
    return asyncio.run(tool.run(call, task().clips, world, 32_000))


def labels(found):
    parts = EvaDialect().observation(task(), [found], [])
    return [part.rsplit("[", 1)[1][:5] for part in parts[:-1] if isinstance(part, str)]


def test_labels_say_what_was_asked_for_although_the_frames_are_within_the_video():
    asked = {"start_time": 80, "end_time": 120}
    official, ours = look(OfficialFrameSelect(), **asked), look(FrameSelect(), **asked)
    assert [round(glimpse.time) for glimpse in official.glimpses] == [80, 90, 100]
    assert labels(official) == ["01:20", "01:40", "02:00"] and labels(ours) == ["01:20", "01:30", "01:40"]


def test_one_frame_is_the_middle_and_is_labelled_with_the_start():
    found = look(OfficialFrameSelect(), start_time=10, end_time=20, nframes=1)
    assert [round(glimpse.time, 1) for glimpse in found.glimpses] == [15.0] and labels(found) == ["00:10"]


def test_a_range_outside_shows_the_whole_video_instead_of_an_error():
    found = look(OfficialFrameSelect(), start_time=200, end_time=300)
    assert [round(glimpse.time) for glimpse in found.glimpses] == [0, 50, 100]
    with pytest.raises(ToolError, match="lies outside the video"):
        look(FrameSelect(), start_time=200, end_time=300)


def test_labels_cost_nothing_there_and_sixteen_tokens_a_frame_here():
    asked = {"start_time": 0, "end_time": 90}
    assert look(FrameSelect(), **asked).tokens - look(OfficialFrameSelect(), **asked).tokens == 3 * 16


def test_frames_that_shrinking_leaves_over_the_budget_are_shown_there_and_cut_here():
    # 40 frames of 15 x 27 squares cost 16,200; (12,000 / 16,200) ^ (1/3) = 0.905 leaves 36 of 14 x 25: 12,600
    asked = {"start_time": 0, "end_time": 90, "nframes": 40, "resize": 0.6, "size": (720, 1280)}
    assert len(look(OfficialFrameSelect(), **asked).glimpses) == 36
    assert len(look(FrameSelect(Budget(label_tokens=0)), **asked).glimpses) == 34  # 11,900
