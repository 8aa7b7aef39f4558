"""Videos read by processes of their own: the same frames, and a death or a hang costs one request."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from eva_lightning.faults import UsageError, VideoError
from eva_lightning.video.frame_store import FrameStore
from tests.video import footage
from tests.video.test_broken_videos import damaged, text

SIZE = 56, 84


def workers():
    """Numbers of the processes that this one has, dead ones that nobody saw to included."""
    listed = Path("/proc/self/task").glob("*/children")
    return {int(number) for file in listed for number in file.read_text().split()}


@pytest.fixture
def isolated():
    before = workers()
    with FrameStore(isolate=True, cache_bytes=0, coarse="never") as store:
        yield store
    assert workers() <= before


def wait_until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def asleep(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def test_frames_facts_and_sound_are_the_same_to_the_byte(videos, isolated):
    with FrameStore(device="pyav", cache_bytes=0, coarse="never") as plain:
        for video in videos.values():
            assert isolated.facts(video.path) == plain.facts(video.path)
            times = [0.0, 1.0, 1.04, 3.3, 2.0]
            for ours, theirs in zip(
                isolated.frames(video.path, times, *SIZE), plain.frames(video.path, times, *SIZE), strict=True
            ):
                assert (ours.time, ours.note) == (theirs.time, theirs.note)
                assert ours.pixels.shape == (*SIZE, 3) and np.array_equal(ours.pixels, theirs.pixels)
        sound = videos["transport stream"].path
        ours, theirs = isolated.sound(sound, 0.5, 1.5), plain.sound(sound, 0.5, 1.5)
        assert len(ours) == 16000 and np.array_equal(ours, theirs)


def test_what_is_said_of_a_broken_file_is_the_same(video, tmp_path, isolated):
    broken, hole = tmp_path / "broken.mp4", damaged(video, tmp_path / "hole.mp4", 60, 64)
    text(broken, video)
    with pytest.raises(VideoError, match=f"{broken}: can not be read as a video"):
        isolated.facts(broken)
    assert isolated.frames(hole, [2.96], *SIZE)[0].note == (
        "the frame at 2.96 s is damaged; this is the one at 3 s"
    )


def test_many_threads_ask_at_once(videos, isolated):
    kinds = [videos["h264"], videos["mpeg4"], videos["late begin"]]

    def number(place):
        video = kinds[place % 3]
        return footage.number_in(isolated.frames(video.path, [place / 5], *SIZE)[0].pixels)

    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(number, range(24))) == [5 * place for place in range(24)]


def test_a_worker_that_dies_costs_its_request_and_is_replaced(video, isolated):
    before = workers()
    isolated.frames(video.path, [1.0], *SIZE)
    mine = workers() - before
    for pid in mine:
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda pid=pid: asleep(pid))
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(isolated.frames, video.path, [2.0], *SIZE)
        time.sleep(0.3)
        for pid in mine:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(VideoError, match=rf"{video.path}: reading it ended its worker \(SIGKILL\); "):
            asked.result(30)
    assert footage.number_in(isolated.frames(video.path, [2.0], *SIZE)[0].pixels) == 50
    assert not workers() & mine


def test_a_worker_that_died_while_nobody_asked_costs_nothing(video, isolated):
    before = workers()
    isolated.frames(video.path, [1.0], *SIZE)
    for pid in workers() - before:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    assert footage.number_in(isolated.frames(video.path, [2.0], *SIZE)[0].pixels) == 50


def test_a_worker_that_hangs_is_ended_at_the_deadline(video):
    before = workers()
    with FrameStore(isolate=True, deadline=1.0, cache_bytes=0) as store:
        store.frames(video.path, [1.0], *SIZE)
        mine = workers() - before
        for pid in mine:
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(VideoError, match="took longer than 1 s and was ended"):
            store.frames(video.path, [2.0], *SIZE)
        # What hung was the decoder's; others may still sleep among the idle.
        for pid in workers() & mine:
            os.kill(pid, signal.SIGCONT)
        assert footage.number_in(store.frames(video.path, [2.0], *SIZE)[0].pixels) == 50
    assert workers() <= before


def test_workers_end_with_whoever_started_them(video):
    code = (
        "import os, signal; from pathlib import Path\n"
        "from eva_lightning.video.frame_store import FrameStore\n"
        f"store = FrameStore(isolate=True); store.frames({str(video.path)!r}, [1.0], 28, 28)\n"
        "for file in Path('/proc/self/task').glob('*/children'): print(file.read_text(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    # Not captured by a pipe: that would stay open as long as the workers live.
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60)
    left = list(map(int, run.stdout.split()))
    assert run.returncode == -signal.SIGKILL and left
    wait_until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in left))


def test_isolation_is_for_cpus():
    with pytest.raises(UsageError, match="device cuda does not go with it"):
        FrameStore("cuda", isolate=True)
    with pytest.raises(ValueError, match="a deadline of 0 s is not positive"):
        FrameStore(isolate=True, deadline=0)
