"""Where the videos that a data file names may lie."""

import os

import pytest

from eva_lightning.commands.task_file import read_tasks as command_tasks
from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.video_folder import VideoFolder
from eva_lightning.datamodules.sources import Source, read_tasks, read_trajectories
from eva_lightning.faults import UsageError
from eva_lightning.files.store import write
from eva_lightning.records import Clip
from tests.making import task, trajectory


@pytest.fixture
def disk(tmp_path):
    """A folder of videos, in which link.mp4 leads out of it and fine.mp4 does not."""
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "in.mp4").write_bytes(b"in")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (videos / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (videos / "fine.mp4").symlink_to("in.mp4")
    return tmp_path


def named(disk, path):
    """A file of one question about a video of this path."""
    clips = (Clip(id="v", path=path),)
    write(disk / "tasks.jsonl", [task(clips=clips)])
    write(disk / "made.jsonl", [trajectory(task=task(clips=clips))])
    return disk / "tasks.jsonl"


def readers(disk, **settings):
    """Every way in which the clips of a file are read, by name."""
    root = str(disk / "videos")
    tasks = Source(path=str(disk / "tasks.jsonl"), video_root=root, **settings)
    made = Source(path=str(disk / "made.jsonl"), video_root=root, **settings)
    return {
        "tasks": lambda: read_tasks(tasks)[0],
        "trajectories": lambda: read_trajectories(made, "made.jsonl")[0].task,
        "command": lambda: command_tasks(disk / "tasks.jsonl", root, **settings)[0],
    }


OUT = ("../secret.mp4", "a/../../secret.mp4", "{disk}/secret.mp4", "link.mp4", "/dev/null")


@pytest.mark.parametrize("path", OUT)
@pytest.mark.parametrize("way", ["tasks", "trajectories", "command"])
def test_no_clip_leads_out_of_video_root(way, path, disk):
    path = path.format(disk=disk)
    named(disk, path)
    with pytest.raises(UsageError, match="leads out of the folder .*videos; .* allow_outside") as refused:
        readers(disk)[way]()
    assert ".jsonl: task 't1': clip" in str(refused.value) and path in str(refused.value)
    allowed = readers(disk, allow_outside=True)[way]().clips[0].path
    assert os.path.realpath(allowed) == os.path.realpath(disk / "videos" / path)


@pytest.mark.parametrize(
    "path", ["in.mp4", "./a/../in.mp4", "{disk}/videos/in.mp4", "fine.mp4", "not there.mp4"]
)
@pytest.mark.parametrize("way", ["tasks", "trajectories", "command"])
def test_what_lies_under_video_root_may_be_named_in_any_way(way, path, disk):
    path = path.format(disk=disk)
    named(disk, path)
    assert readers(disk)[way]().clips[0].path == str(disk / "videos" / path)


def test_without_a_video_root_a_file_may_name_any_video(disk):
    """`eva prepare` writes the whole path of a video that does not lie under its file."""
    for path in ("../secret.mp4", f"{disk}/secret.mp4", "videos/link.mp4"):
        file = named(disk, path)
        assert read_tasks(Source(path=str(file)))[0].clips[0].path == str(disk / path)
        assert command_tasks(file)[0].clips[0].path == str(disk / path)


@pytest.mark.parametrize(
    "path", ["http://host/v.mp4", "https://host/v.mp4", "rtsp://host", "file:///etc/x", "S3://b/v"]
)
def test_an_address_is_no_clip(path, disk):
    file = named(disk, path)
    for allow in (True, False):
        for source in (
            Source(path=str(file)),
            Source(path=str(file), video_root=str(disk), allow_outside=allow),
        ):
            with pytest.raises(UsageError, match="is an address; fetch the video"):
                read_tasks(source)
    with pytest.raises(UsageError, match="is an address"):
        command_tasks(file)


@pytest.mark.parametrize("path", ["{disk}/secret.mp4", "link.mp4"])
def test_rows_of_others_name_no_video_outside_their_folder(path, disk):
    path = path.format(disk=disk)
    with pytest.raises(BadRow, match=f"{path} lies outside of {disk}/videos"):
        VideoFolder(disk / "videos").find(path)
    found = VideoFolder(disk / "videos", allow_outside=True).find(path)
    assert os.path.samefile(found, disk / "secret.mp4")
    assert VideoFolder(disk / "videos").find(f"/somewhere/else/{'in.mp4'}") == f"{disk}/videos/in.mp4"
