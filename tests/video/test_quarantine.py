"""A file that fails again and again is not opened any more, until it is another one."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from eva_lightning.faults import VideoError
from eva_lightning.video.frame_store import FrameStore
from eva_lightning.video.quarantine import LeftOut
from tests.video.test_broken_videos import damaged, text

SIZE = 56, 84


@pytest.fixture
def broken(tmp_path, video):
    path = tmp_path / "broken.mp4"
    text(path, video)
    return path


def fail(store, path, times=1):
    """What is said of each failure."""
    said = []
    for _ in range(times):
        with pytest.raises(VideoError) as fault:
            store.frames(path, [1.0], *SIZE)
        said.append(str(fault.value))
    return said


def test_after_three_failures_a_file_is_left_out_and_says_why(broken):
    with FrameStore(device="pyav") as store:
        first, second, third, fourth = fail(store, broken, 4)
        assert first == second == third and "can not be read as a video" in first
        why = first.removeprefix(f"{broken}: ")
        assert fourth == f"{broken}: left out since it failed 3 times in a row ({why})"
        with pytest.raises(VideoError, match="left out since it failed 3 times"):
            store.facts(broken)
        (row,) = store.quarantine.left_out
        assert row == LeftOut(
            path=str(broken),
            reason=why,
            failures=3,
            modified_ns=broken.stat().st_mtime_ns,
            size=broken.stat().st_size,
        )


def test_a_file_that_was_replaced_gets_another_chance(broken, video):
    with FrameStore(device="pyav") as store:
        fail(store, broken, 3)
        broken.write_bytes(video.path.read_bytes())
        assert store.frames(broken, [1.0], *SIZE)[0].time == 1.0
        assert store.quarantine.left_out == ()


def test_a_file_that_is_missing_is_left_out_until_it_is_there(tmp_path, video):
    path = tmp_path / "late.mp4"
    with FrameStore(device="pyav") as store:
        assert "no such file" in fail(store, path, 4)[-1].lower()
        assert len(store.quarantine.left_out) == 1
        path.write_bytes(video.path.read_bytes())
        assert store.facts(path).frames == 150


def test_a_success_in_between_starts_the_count_again(video, tmp_path):
    hole = damaged(video, tmp_path / "hole.mp4", 0, 60)  # nothing to be had in the first seconds
    everything = damaged(video, tmp_path / "all.mp4", 0, 149)
    with FrameStore(device="pyav", cache_bytes=0, quarantine_after=2) as store:
        for _ in range(4):
            fail(store, everything) if not store.quarantine.left_out else None
            store.frames(hole, [5.0], *SIZE)
        assert [row.path for row in store.quarantine.left_out] == [str(everything)]


def test_none_leaves_nothing_out(broken):
    with FrameStore(device="pyav", quarantine_after=None) as store:
        assert len(set(fail(store, broken, 6))) == 1 and store.quarantine.left_out == ()
    with pytest.raises(ValueError, match="quarantine_after is 0"):
        FrameStore(quarantine_after=0)


def test_what_is_not_the_file_s_doing_is_not_held_against_it(video):
    store = FrameStore(device="pyav", quarantine_after=1)
    with pytest.raises(VideoError, match="over the limit"):
        store.frames(video.path, [0.0] * 400, 2800, 2800)
    store.close()
    fail(store, video.path)
    assert store.quarantine.left_out == ()


def test_many_threads_leave_a_file_out_once_and_it_is_told_once(broken):
    told = []
    with FrameStore(device="pyav") as store, ThreadPoolExecutor(8) as threads:
        store.quarantine.on_entry = told.append
        list(threads.map(lambda _: fail(store, broken), range(40)))
        assert told == list(store.quarantine.left_out) and len(told) == 1


def test_what_an_earlier_run_left_out_is_left_out_at_once_unless_it_changed(broken, tmp_path, video):
    other = tmp_path / "other.mp4"
    text(other, video)
    with FrameStore(device="pyav") as store:
        fail(store, broken, 3)
        fail(store, other, 3)
        rows = store.quarantine.left_out
    other.write_bytes(video.path.read_bytes())
    with FrameStore(device="pyav") as store:
        store.quarantine.take_up(rows)
        assert "left out since it failed 3 times" in fail(store, broken)[0]
        assert store.facts(other).frames == 150


def test_hints_do_not_count(broken):
    with FrameStore(device="pyav", quarantine_after=1) as store:
        for _ in range(5):
            store.prefetch(broken, [1.0], *SIZE)
        store._prefetcher.shutdown()
        assert store.quarantine.left_out == ()


def test_silence_does_not_count_and_what_is_left_out_is_not_heard(video, broken):
    with FrameStore(device="pyav", quarantine_after=1) as store:
        for _ in range(5):
            with pytest.raises(VideoError, match="has no sound"):
                store.sound(video.path, 0, 1)
        fail(store, broken)
        with pytest.raises(VideoError, match="left out"):
            store.sound(broken, 0, 1)
        assert [row.path for row in store.quarantine.left_out] == [str(broken)]
