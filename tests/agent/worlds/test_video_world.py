"""Clips inside files: their own clock, their own borders, the same pixels whenever a frame is read again."""

import asyncio

import numpy as np
import pytest

from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.data.synthesis.render import render
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.faults import VideoError
from eva_lightning.records import Clip


@pytest.fixture(scope="module")
def script():
    return write_script(3, ScriptSettings(duration=(60, 60), height=112, width=112, cues=1.0))


@pytest.fixture(scope="module")
def path(script, tmp_path_factory):
    file = tmp_path_factory.mktemp("clips") / "clip.mp4"
    render(script, file)
    return str(file)


@pytest.fixture(scope="module")
def world():
    world = VideoWorld()
    yield world
    world.close()


def looked(world, clip, times, side):
    return asyncio.run(world.look(clip, times, side, side))


def test_a_clip_is_as_long_as_its_part_of_the_file(world, path):
    assert world.describe(Clip(id="all", path=path)).duration == pytest.approx(60.0)
    assert world.describe(Clip(id="part", path=path, begin=20.0, end=35.0)).duration == 15.0


def test_second_five_of_a_clip_that_begins_at_twenty_is_second_25_of_the_file(world, path):
    part, whole = Clip(id="part", path=path, begin=20.0, end=35.0), Clip(id="all", path=path)
    (one,), (other,) = looked(world, part, [5.0], 56), looked(world, whole, [25.0], 56)
    assert (one.time, other.time) == (5.0, 25.0)
    assert np.array_equal(world.pixels(part, one.content), world.pixels(whole, other.content))


def test_a_look_never_leaves_its_clip(world, path):
    part = Clip(id="part", path=path, begin=20.0, end=35.0)
    times = [glimpse.time for glimpse in looked(world, part, [-5.0, 0.0, 14.99, 99.0], 28)]
    assert times[:2] == [0.0, 0.0]
    assert max(times) <= 15.0


def test_a_frame_read_again_is_the_same_bytes(world, path):
    clip = Clip(id="all", path=path)
    for glimpse in looked(world, clip, [0.0, 20.0, 40.0, 59.9], 84):  # coarse: further apart than key frames
        again = VideoWorld()
        assert np.array_equal(world.pixels(clip, glimpse.content), again.pixels(clip, glimpse.content))
        again.close()


def test_what_is_heard_is_the_part_that_was_asked_for(world, path, script):
    cue = next(event.hear for event in script.events if event.hear)
    clip = Clip(id="all", path=path)
    sound = asyncio.run(world.listen(clip, cue.at, cue.at + 1.0))
    silence = asyncio.run(world.listen(clip, cue.at + 1.5, cue.at + 2.0))
    assert (sound.rate, len(sound.waveform)) == (16000, 16000)
    assert np.abs(sound.waveform).mean() > 10 * np.abs(silence.waveform).mean()


def test_a_clip_that_begins_after_its_file_ends_is_one_clear_line(world, path):
    with pytest.raises(VideoError, match="begins at 70 s, but the file ends at 60 s"):
        world.describe(Clip(id="late", path=path, begin=70.0))
