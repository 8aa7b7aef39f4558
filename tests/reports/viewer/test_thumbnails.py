"""Pictures under a budget; a video that is gone costs its pictures and nothing else."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.faults import UsageError
from eva_lightning.records import Clip, Message
from eva_lightning.reports.viewer.thumbnails import Album, ThumbnailSettings, thumbnail
from eva_lightning.video.frame_store import FrameStore
from tests.making import StillWorld, frame, task, trajectory


def opened(url):
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/webp;base64,"))))


def missing(pasted):
    return [one.missing for one in pasted]


def test_a_picture_is_made_smaller_never_larger():
    settings = ThumbnailSettings(height=90)
    assert opened(thumbnail(np.zeros((180, 320, 3), np.uint8), settings)).size == (160, 90)
    assert opened(thumbnail(np.zeros((28, 56, 3), np.uint8), settings)).size == (56, 28)


def test_pictures_are_the_frames_that_were_watched(taught):
    album = Album(VideoWorld(FrameStore(coarse="never")), ThumbnailSettings(quality=90))
    world = VideoWorld(FrameStore())
    one = max(taught.oracle, key=lambda one: len(one.frames))
    pasted = album.paste(one)
    assert len(pasted) == len(one.frames) > 3 and missing(pasted) == [""] * len(pasted)
    (shelf,) = album.shelves
    for ref, where in zip(one.frames, pasted, strict=True):
        seen = np.asarray(opened(shelf.pictures[where.key]).convert("RGB"), np.float64)
        assert abs(seen.mean((0, 1)) - world.pixels(one.task.clips[0], ref).mean((0, 1))).max() < 6
    album.close(), world.close()


def test_a_frame_that_two_attempts_saw_is_kept_once():
    album = Album(StillWorld(), ThumbnailSettings())
    first, second = album.paste(trajectory(frames=2)), album.paste(trajectory(frames=3))
    assert first == second[:2]
    (shelf,) = album.shelves
    assert len(shelf.pictures) == 3 and shelf.duration == 100.0


def test_frames_that_lie_close_together_late_in_a_video_are_told_apart():
    one = trajectory(prompt=(Message(role="user", parts=(frame(time=12345.01), frame(time=12345.04))),))
    first, second, *_ = Album(StillWorld(duration=2e4), ThumbnailSettings()).paste(one)
    assert first.key != second.key


def test_a_trajectory_has_its_share_and_the_page_a_limit():
    album = Album(StillWorld(), ThumbnailSettings(per_trajectory=3))
    assert missing(album.paste(trajectory(frames=5))) == ["", "limit", "", "limit", ""]
    size = len(next(iter(album.shelves[0].pictures.values())))
    small = Album(StillWorld(), ThumbnailSettings(megabytes=(2 * size + 1) / 1e6))
    assert missing(small.paste(trajectory(frames=3))) == ["", "", "page"]
    assert missing(small.paste(trajectory(frames=3))) == ["", "", "page"]  # those that are there stay
    assert "later trajectories have none" in small.notes[0]
    assert not album.notes
    none = Album(StillWorld(), ThumbnailSettings(per_trajectory=0))
    assert missing(none.paste(trajectory(frames=2))) == ["limit"] * 2


def test_a_missing_video_is_a_note(tmp_path):
    album = Album(VideoWorld(FrameStore()), ThumbnailSettings())
    clip = Clip(id="v", path=str(tmp_path / "gone.mp4"))
    assert missing(album.paste(trajectory(task=task(clips=(clip,))))) == ["broken"] * 2
    assert "gone.mp4" in album.shelf(clip).problem
    assert album.notes == [f"1 of 1 clips can not be read: {album.shelf(clip).problem}"]
    assert Album(StillWorld(), ThumbnailSettings()).shelf(replace(clip, path="")).problem == (
        "the clip has no video file"
    )
    album.close()


def test_another_video_under_the_same_name_gives_no_wrong_pictures():
    album = Album(StillWorld(duration=1.0), ThumbnailSettings())
    assert missing(album.paste(trajectory(frames=4))) == ["", "", "broken", "broken"]
    assert "it is another file now" in album.shelves[0].problem


def test_frames_of_a_clip_that_the_task_does_not_have_are_unreadable():
    one = trajectory()
    one.prompt = (replace(one.prompt[0], parts=(frame(clip="w"),)),)
    album = Album(StillWorld(), ThumbnailSettings())
    assert missing(album.paste(one)) == ["broken", "", ""]


def test_bad_settings_are_refused():
    for wrong in ({"per_trajectory": -1}, {"quality": 0}, {"megabytes": float("nan")}, {"height": 0}):
        with pytest.raises(UsageError, match="thumbnails"):
            ThumbnailSettings(**wrong)
