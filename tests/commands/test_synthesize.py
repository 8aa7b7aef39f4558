"""`eva synthesize world` takes searches by name; on real clips the teacher is right, and so are its words."""

import asyncio

import numpy as np
import pytest

from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.cli import main
from eva_lightning.data.synthesis.picture import PAINT, draw
from eva_lightning.data.synthesis.script import BACKGROUNDS, MARKS
from eva_lightning.data.synthesis.searches import SEARCHES
from eva_lightning.data.synthesis.world import load_world
from eva_lightning.files.store import located, read
from eva_lightning.records import Trajectory
from eva_lightning.scoring import score


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Three clips of two minutes, in which a scan of twelve frames shows one each 11 seconds."""
    folder = tmp_path_factory.mktemp("world")
    said = f"--videos 3 --families [{','.join(SEARCHES)}] --per_family 3 --settings.duration [120,130] "
    said += "--sloppy 1 "
    said += "--settings.event [7,24] --settings.fps 2 --settings.height 112 --settings.width 112"
    assert main(["synthesize", "world", "--out", str(folder), *said.split()]) == 0
    return folder


def frames_of(folder, turns):
    """Each frame of some attempts with its pixels, and its clip's script."""
    scripts = {script.id: script for script in load_world(folder).scripts}
    world = VideoWorld()
    for one in (located(row, folder) for row in turns):
        reader = world.reader(one.task.clips)
        yield from ((frame, np.asarray(reader(frame), float), scripts[frame.clip]) for frame in one.frames)
    world.close()


def test_both_teachers_play_every_search(world):
    oracle, sloppy = (read(world / f"{name}.jsonl", Trajectory) for name in ("oracle", "sloppy"))
    assert {one.task.source for one in oracle} == set(SEARCHES)
    assert all(score(one.task, one.answer).value == 1 for one in oracle)
    assert all(one.evidence_met == one.task.evidence for one in oracle)
    assert sum(score(one.task, one.answer).correct for one in sloppy) < 0.8 * len(sloppy)


def test_its_small_frames_show_the_colours_and_its_large_ones_the_patterns_that_it_reads(world):
    """The large ones are looked at from the first second on at which a frame showed the background."""
    small, large = 0, 0
    for frame, pixels, script in frames_of(world, read(world / "oracle.jsonl", Trajectory)):
        event = script.at(frame.time)
        if frame.width == 28:
            middle = pixels[:5].mean((0, 1))  # above the shape
            read_as = min(BACKGROUNDS, key=lambda colour: np.abs(middle - PAINT[colour]).sum())
            assert read_as == event.see.background
            small += 1
        else:
            assert read_plate(pixels, event, script) == event.see.mark
            large += 1
    assert small > 100 and large >= 6


def test_an_event_can_be_read_at_its_very_first_second(world):
    """A frame that showed it says a whole second, which may be that at which it begins."""
    files, reader = load_world(world), VideoWorld()
    clips = {task.clips[0].id: task.clips[0] for task in files.tasks}
    for script in files.scripts:
        clip = clips[script.id]
        begins = [float(event.start) for event in script.events]
        glimpses = asyncio.run(reader.look(clip, begins, 112, 112))
        for glimpse, event in zip(glimpses, script.events, strict=True):
            pixels = np.asarray(reader.pixels(clip, glimpse.content), float)
            assert read_plate(pixels, event, script) == event.see.mark
    reader.close()


def read_plate(pixels, event, script):
    """The pattern whose drawing comes closest."""

    def distance(mark):
        scene = type(event.see)(**{**vars(event.see), "mark": mark})
        drawn = draw(scene, 112, 112, grain=f"{script.seed}/{event.start}").astype(float)
        return np.abs(pixels[84:, 84:] - drawn[84:, 84:]).mean()

    return min(MARKS, key=distance)
