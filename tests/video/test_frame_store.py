import json
import threading
import time

import numpy as np
import pytest

from eva_lightning.faults import UsageError, VideoError
from eva_lightning.video import frame_store as module
from eva_lightning.video.decoder import Decoder, Frame, VideoFacts
from eva_lightning.video.frame_store import FrameStore
from eva_lightning.video.opening import open_decoder
from tests.video import footage

SIZE = 56, 84
FRAME_BYTES = 56 * 84 * 3


@pytest.fixture
def store():
    with FrameStore(device="pyav") as store:
        yield store


class SlowDecoder(Decoder):
    """Grey frames; says what it was asked for, and takes its time."""

    asked: list[float]

    def __init__(self, path, asked):
        self.asked = asked
        self.facts = VideoFacts(
            path=path, duration=6.0, height=112, width=168, fps=25.0, frames=150, gop=1.0, codec="grey"
        )

    def frames(self, times, height, width, *, coarse=False):
        time.sleep(0.1)
        self.asked += times
        return [Frame(time=t, pixels=np.full((height, width, 3), round(t * 25), np.uint8)) for t in times]

    def close(self):
        pass


@pytest.fixture
def asked(monkeypatch):
    """Every time that reached a decoder; decoders are slow ones."""
    asked = []
    monkeypatch.setattr(module, "open_decoder", lambda path, *a, **k: SlowDecoder(path, asked))
    return asked


def together(calls):
    """Run all calls at once, each in its thread; their results in order."""
    results = [None] * len(calls)

    def run(number, call):
        try:
            results[number] = call()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return results


def _until(true):
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)


def test_facts_of_a_video(store, video):
    facts = store.facts(video.path)
    assert (facts.duration, facts.height, facts.width, facts.fps) == (pytest.approx(6.0), 112, 168, 25.0)
    assert (facts.frames, facts.gop, facts.codec) == (150, 1.0, "h264")


def test_the_second_time_nothing_is_decoded(store, video):
    first = store.frames(video.path, [1.0, 1.5, 1.8], *SIZE)
    again = store.frames(video.path, [1.0, 1.5, 1.8], *SIZE)
    assert all(a.pixels is b.pixels for a, b in zip(first, again, strict=True))
    stats = store.stats
    assert (stats.hits, stats.misses, stats.hit_rate, stats.decoded_frames) == (3, 3, 0.5, 3)
    assert stats.bytes == 3 * FRAME_BYTES and stats.open_decoders == 1 and stats.decode_seconds > 0


def test_different_times_that_hit_one_frame_share_it(store, video):
    store.frames(video.path, [1.001], *SIZE)
    frames = store.frames(video.path, [1.0, 1.02, 1.039], *SIZE)
    assert [frame.time for frame in frames] == [1.0, 1.0, 1.0]
    assert (store.stats.misses, store.stats.hits) == (1, 1)


def test_another_size_is_another_frame(store, video):
    store.frames(video.path, [1.0], *SIZE)
    assert store.frames(video.path, [1.0], 28, 28)[0].pixels.shape == (28, 28, 3)
    assert store.stats.misses == 2


def test_frames_are_those_of_sequential_decoding(store, videos, sequential):
    for kind, video in videos.items():
        truth = sequential(video.path, *SIZE)
        numbers = [90, 3, 3, 60, 100, 0]
        frames = store.frames(video.path, [video.times[n] for n in numbers], *SIZE)
        for number, frame in zip(numbers, frames, strict=True):
            assert np.array_equal(frame.pixels, truth[number]), kind


def test_a_lone_call_is_decoded_with_all_threads_and_gives_the_same_bits(videos, sequential, monkeypatch):
    opened = []
    monkeypatch.setattr(
        module,
        "open_decoder",
        lambda *a, threads, **k: opened.append(threads) or open_decoder(*a, threads=threads, **k),
    )
    monkeypatch.setattr(module.os, "cpu_count", lambda: 8)
    video = videos["h264 long gop"]
    with FrameStore(device="pyav") as store:
        frames = store.frames(video.path, [4.0, 4.5, 8.0], *SIZE)
        assert opened == [3]  # the caller's and two helpers'
        crowd = together([lambda at=at: store.frames(video.path, [at], *SIZE) for at in (5.0, 6.0, 7.0, 9.0)])
    assert 1 in opened and len(opened) > 1
    for frame in [*frames, *(shown[0] for shown in crowd)]:
        assert np.array_equal(frame.pixels, sequential(video.path, *SIZE)[round(frame.time * 25)])


def test_shared_pixels_can_not_be_written(store, video):
    with pytest.raises(ValueError, match="read-only"):
        store.frames(video.path, [1.0], *SIZE)[0].pixels[0, 0, 0] = 1


def test_kept_bytes_stay_under_their_bound(video):
    with FrameStore(device="pyav", cache_bytes=5 * FRAME_BYTES) as store:
        for second in range(4):
            store.frames(video.path, [second + i / 10 for i in range(4)], *SIZE)
            assert store.stats.bytes <= 5 * FRAME_BYTES
        assert store.stats.evictions == 11
        store.frames(video.path, [3.3], *SIZE)
        assert store.stats.hits == 1  # the newest are kept


def test_a_store_of_zero_bytes_keeps_nothing_and_still_answers(video):
    with FrameStore(device="pyav", cache_bytes=0) as store:
        for _ in range(2):
            assert footage.number_in(store.frames(video.path, [1.0], *SIZE)[0].pixels) == 25
        assert store.stats.misses == 2 and store.stats.bytes == 0


def test_wide_times_give_key_frames_and_their_true_times(store, videos):
    video = videos["h264"]  # a key frame every second
    assert [f.time for f in store.frames(video.path, [0.4, 2.6, 4.4], *SIZE)] == [0.4, 3.0, 4.0]
    # 0.0 lies outside the range that was asked for, so 0.4 is exact.
    assert [f.time for f in store.frames(video.path, [0.4, 1.3, 2.2], *SIZE)] == [0.4, 1.28, 2.2]


def test_near_times_and_a_single_time_are_exact(store, video):
    assert [f.time for f in store.frames(video.path, [0.4, 1.4], *SIZE)] == [0.4, 1.4]
    assert store.frames(video.path, [2.6], *SIZE)[0].time == 2.6


def test_never_and_always(video):
    with FrameStore(device="pyav", coarse="never") as store:
        assert [f.time for f in store.frames(video.path, [0.4, 2.6, 4.4], *SIZE)] == [0.4, 2.6, 4.4]
    with FrameStore(device="pyav", coarse="always") as store:
        assert [f.time for f in store.frames(video.path, [0.8, 1.1, 1.4], *SIZE)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_a_frame_is_read_again_by_its_reported_time_even_after_json(cache_bytes, videos):
    with FrameStore(device="pyav", cache_bytes=cache_bytes) as store:
        for kind, video in videos.items():
            for times in ([0.123, 2.456, 4.789], [1.11, 1.31, 1.777]):
                for frame in store.frames(video.path, times, *SIZE):
                    again = store.read(video.path, json.loads(json.dumps(frame.time)), *SIZE)
                    assert again.time == frame.time and np.array_equal(again.pixels, frame.pixels), kind


def test_times_past_the_end_give_the_last_frame(store, video):
    assert [f.time for f in store.frames(video.path, [5.9, 6.0, 7.0], *SIZE)] == [5.88, 5.96, 5.96]


def test_sides_are_whatever_was_asked_for(store, video):
    """Models differ in their squares: 28 pixels, 32 pixels."""
    (frame,) = store.frames(video.path, [1.0], 96, 64)
    assert frame.pixels.shape == (96, 64, 3)
    with pytest.raises(ValueError, match="a frame of 84x0 has no pixels"):
        store.frames(video.path, [1.0], 0, 84)


def test_no_times_no_frames(store, video):
    assert store.frames(video.path, [], *SIZE) == []


def test_two_threads_that_want_one_frame_decode_it_once(asked, video):
    with FrameStore() as store:
        results = together([lambda: store.frames(video.path, [1.0, 1.5], *SIZE)] * 6)
        assert sorted(asked) == [1.0, 1.48]
        assert all(len(frames) == 2 for frames in results)
        assert (store.stats.misses, store.stats.hits) == (2, 10)


def test_callers_that_want_each_others_frames_do_not_wait_for_ever(asked, video):
    with FrameStore() as store:
        orders = [[0.0, 1.0, 2.0], [2.0, 1.0, 0.0], [1.0, 2.0, 3.0], [3.0, 0.0, 1.0]]
        results = together([lambda order=order: store.frames(video.path, order, *SIZE) for order in orders])
    assert [[f.time for f in frames] for frames in results] == orders
    assert sorted(asked) == [0.0, 1.0, 2.0, 3.0]


def gone_at(second, monkeypatch):
    """Decoders that fail if this second is among those they are asked for."""
    slow = SlowDecoder.frames

    def frames(self, times, height, width, *, coarse=False):
        shown = slow(self, times, height, width)
        if second in times:
            raise VideoError(f"second {second} is gone")
        return shown

    monkeypatch.setattr(SlowDecoder, "frames", frames)


def test_what_fails_alone_is_not_tried_again(asked, video, monkeypatch):
    gone_at(3.0, monkeypatch)
    with FrameStore() as store:
        with pytest.raises(VideoError, match="second 3.0 is gone"):
            store.frames(video.path, [3.0, 3.4], *SIZE)
        assert asked == [3.0, 3.4]
        assert store._coming == store._open == {}


def test_a_failure_of_one_caller_is_not_a_failure_of_the_others(asked, video, monkeypatch):
    gone_at(3.0, monkeypatch)
    with FrameStore(coarse="never") as store:
        first, second = together(
            [
                lambda: store.frames(video.path, [1.0, 3.0], *SIZE),
                lambda: time.sleep(0.03) or store.frames(video.path, [1.0, 2.0], *SIZE),
            ]
        )
        assert isinstance(first, VideoError)
        assert [frame.time for frame in second] == [1.0, 2.0]
        assert store._coming == store._open == {}


def test_who_waits_for_a_decoder_is_served_in_one_pass_with_all_who_look_nearby(monkeypatch, video):
    passes, enter, leave = [], threading.Event(), threading.Event()

    class Held(SlowDecoder):
        def frames(self, times, height, width, *, coarse=False):
            enter.set()
            assert leave.wait(20)
            passes.append(sorted(times))
            return super().frames(times, height, width)

    monkeypatch.setattr(module, "open_decoder", lambda path, *a, **k: Held(path, []))
    with FrameStore(max_open=1) as store:

        def look(times):
            if times != [0.0]:
                assert enter.wait(20)  # the only decoder is busy with the first call
            return store.frames(video.path, times, *SIZE)

        asked = [[0.0], [1.0, 1.4], [1.2], [1.6], [0.8]]
        waiting = threading.Thread(target=lambda: (_until(lambda: store.stats.misses == 6), leave.set()))
        waiting.start()
        results = together([lambda times=times: look(times) for times in asked])
        waiting.join(20)
    assert [[frame.time for frame in frames] for frames in results] == asked
    # Second 1 is one group of pictures: one pass for three callers. 0.8 comes too late for the first group.
    assert passes[0] == [0.0] and sorted(passes[1:]) == [[0.8], [1.0, 1.2, 1.4, 1.6]]


def test_a_frame_that_joined_and_fails_does_not_take_the_others_along(asked, video, monkeypatch):
    gone_at(1.6, monkeypatch)
    with FrameStore(max_open=1) as store:
        first, second, third = together(
            [
                lambda: store.frames(video.path, [0.0], *SIZE),
                lambda: time.sleep(0.03) or store.frames(video.path, [1.2], *SIZE),
                lambda: time.sleep(0.06) or store.frames(video.path, [1.6], *SIZE),
            ]
        )
        assert [frame.time for frame in first] == [0.0] and [frame.time for frame in second] == [1.2]
        assert isinstance(third, VideoError)
        assert store._coming == store._open == {}


def test_many_threads_on_many_videos_get_the_right_frames_with_few_files_open(videos, sequential):
    names = ["h264", "uneven rate", "vp9", "late begin"]
    truth = {name: sequential(videos[name].path, *SIZE) for name in names}
    with FrameStore(device="pyav", cache_bytes=20 * FRAME_BYTES, max_open=3, coarse="never") as store:

        def look(seed):
            dice = np.random.default_rng(seed)
            for _ in range(25):
                name = names[dice.integers(len(names))]
                numbers = [int(n) for n in dice.integers(0, len(truth[name]), 4)]
                times = [videos[name].times[n] for n in numbers]
                for n, frame in zip(numbers, store.frames(videos[name].path, times, *SIZE), strict=True):
                    assert np.array_equal(frame.pixels, truth[name][n])
                assert store.stats.open_decoders <= 3
            return "right"

        assert together([lambda seed=seed: look(seed) for seed in range(8)]) == ["right"] * 8


def test_a_group_of_eight_rollouts_decodes_less_than_a_third(videos):
    video = videos["h264 long gop"]  # 12 s
    dice = np.random.default_rng(0)
    with FrameStore(device="pyav", coarse="never") as store:
        for _ in range(8):
            store.frames(video.path, [float(t) for t in range(12)], *SIZE)
            for spot in (2, 5, 9):
                start = spot + int(dice.integers(-1, 2))
                store.frames(video.path, np.linspace(start, start + 2, 8).tolist(), *SIZE)
        assert store.stats.hits + store.stats.misses > 3 * store.stats.decoded_frames


def test_prefetched_frames_are_hits(video):
    with FrameStore(device="pyav") as store:
        store.prefetch(video.path, [1.0, 1.5], *SIZE)
        deadline = time.monotonic() + 5
        while store.stats.decoded_frames < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        store.frames(video.path, [1.0, 1.5], *SIZE)
        assert (store.stats.hits, store.stats.misses) == (2, 2)


def test_prefetching_what_is_not_there_is_quiet(store, tmp_path):
    store.prefetch(tmp_path / "none.mp4", [1.0], *SIZE)
    with pytest.raises(VideoError, match="No such file"):
        store.frames(tmp_path / "none.mp4", [1.0], *SIZE)


def test_a_closed_store_says_so(video):
    store = FrameStore(device="pyav")
    store.frames(video.path, [1.0], *SIZE)
    store.close()
    store.close()
    assert store.stats.open_decoders == 0 and store.stats.bytes == 0
    with pytest.raises(VideoError, match="closed"):
        store.frames(video.path, [1.0], *SIZE)
    store.prefetch(video.path, [1.0], *SIZE)


def test_a_changed_file_gives_its_new_frames(store, video, videos, tmp_path):
    path = tmp_path / "changing.mp4"
    path.write_bytes(video.path.read_bytes())
    assert store.frames(path, [11.0], *SIZE)[0].time == 5.96
    path.write_bytes(videos["h264 long gop"].path.read_bytes())
    assert store.frames(path, [11.0], *SIZE)[0].time == 11.0
    assert store.facts(path).duration == pytest.approx(12.0)


def test_an_unknown_decoder_is_named(video):
    with FrameStore(device="magic") as store, pytest.raises(UsageError, match="no decoder 'magic'"):
        store.facts(video.path)
