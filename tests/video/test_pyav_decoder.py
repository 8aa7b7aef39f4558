import time

import numpy as np
import pytest

from eva_lightning.faults import VideoError
from eva_lightning.video.pyav_decoder import PyAVDecoder
from tests.video import footage

KINDS = (
    "h264",
    "h264 long gop",
    "hevc open gop",
    "uneven rate",
    "vp9",
    "mpeg4",
    "transport stream",
    "late begin",
    "late begin in mkv",
    "ten bit",
    "edit list",
)
SIZE = 56, 84


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_random_access_gives_the_bits_of_sequential_decoding(kind, threads, videos, sequential):
    video = videos[kind]
    truth = sequential(video.path, *SIZE)
    dice = np.random.default_rng(1)
    with PyAVDecoder(video.path, threads=threads) as decoder:
        assert decoder.facts.frames == len(truth) == len(video.times)
        for _ in range(12):  # shuffled, with repeats, at and inside frames
            numbers = [int(n) for n in dice.integers(0, len(truth), 10)]
            numbers += numbers[:2]
            late = [float(dice.choice([0.0, 0.3, 0.99])) for _ in numbers]
            ends = [*video.times[1:], video.times[-1] + 0.02]
            asked = [
                video.times[n] + x * (ends[n] - video.times[n]) for n, x in zip(numbers, late, strict=True)
            ]
            for n, frame in zip(numbers, decoder.frames(asked, *SIZE), strict=True):
                assert np.array_equal(frame.pixels, truth[n])
                assert frame.time == pytest.approx(video.times[n], abs=0.0006)
                assert frame.note == ""


@pytest.mark.parametrize("kind", KINDS)
def test_the_bar_code_says_which_frame_was_on_show(kind, videos):
    video = videos[kind]
    first = 33 if kind == "edit list" else 0
    with PyAVDecoder(video.path) as decoder:
        for time_asked in (0.0, 0.5, 1.01, 2.0, 3.33, video.times[-1] + 0.01):
            frame = decoder.frames([time_asked], *SIZE)[0]
            assert footage.number_in(frame.pixels) == first + video.number_at(time_asked)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("step", "threads"), [(1, 1), (7, 1), (7, 2)])
def test_stepping_forward_gives_the_same_bits_and_decodes_little(kind, step, threads, videos, sequential):
    video = videos[kind]
    truth = sequential(video.path, *SIZE)
    with PyAVDecoder(video.path, threads=threads) as decoder:
        for number in range(0, len(truth), step):
            assert np.array_equal(decoder.frames([video.times[number]], *SIZE)[0].pixels, truth[number])
        # By seeking, one frame at a time, it would be about half a group of pictures for each frame.
        assert decoder.pictures < 2.1 * len(truth)


def test_unwanted_pictures_that_nothing_refers_to_are_not_decoded(video):
    with PyAVDecoder(video.path) as decoder:
        before = decoder.pictures
        decoder.frames([0.96], *SIZE)  # the last of 25 frames of its group
        assert decoder.pictures - before < 16


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_file_is_not_taken_for_a_damaged_one(kind, videos):
    with PyAVDecoder(videos[kind].path, threads=2) as decoder:
        decoder.frames([4.4, 0.3, 2.2, 3.7, 1.5], *SIZE)
        assert not decoder._reader.careful


@pytest.mark.parametrize("name", ["open.mp4", "open.ts"])
def test_open_groups_of_pictures_are_not_taken_for_damage(name, tmp_path, sequential):
    groups = "open-gop=1:keyint=30:min-keyint=30:bframes=3:b-adapt=0:scenecut=0"
    video = footage.write(tmp_path / name, options={"preset": "medium", "x264-params": groups})
    truth = sequential(video.path, *SIZE)
    with PyAVDecoder(video.path, threads=2) as decoder:
        assert decoder._index.open_groups
        numbers = [140, 3, 61, 88, 59, 120, 29, 30, 118]
        for number, frame in zip(numbers, decoder.frames([n / 25 for n in numbers], *SIZE), strict=True):
            assert np.array_equal(frame.pixels, truth[number])
        assert not decoder._reader.careful


def test_a_time_outside_the_video_gives_its_first_or_last_frame(video, sequential):
    truth = sequential(video.path, *SIZE)
    with PyAVDecoder(video.path) as decoder:
        first, last, far = decoder.frames([-5, 6.0, 1e9], *SIZE)
        assert decoder.facts.duration == pytest.approx(6.0)
    assert first.time == 0 and np.array_equal(first.pixels, truth[0])
    assert last.time == far.time == 5.96 and np.array_equal(last.pixels, truth[149])


def test_times_count_from_the_begin_of_the_pictures(videos):
    with PyAVDecoder(videos["late begin"].path) as decoder:  # its clock begins at 7.5 s
        frame = decoder.frames([1.02], *SIZE)[0]
    assert frame.time == 1.0 and footage.number_in(frame.pixels) == 25


def test_coarse_gives_the_nearest_key_frame_and_its_true_time(video):
    with PyAVDecoder(video.path) as decoder:  # a key frame every second
        before = decoder.pictures
        frames = decoder.frames([0.4, 1.6, 2.49, 5.9], *SIZE, coarse=True)
        assert decoder.pictures - before <= 4
        assert decoder.facts.gop == 1.0
        again = decoder.frames([frame.time for frame in frames], *SIZE)
    assert [frame.time for frame in frames] == [0.0, 2.0, 2.0, 5.0]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, again, strict=True))


def test_a_turned_video_is_shown_upright(video, tmp_path, sequential):
    with PyAVDecoder(footage.turned(video, tmp_path / "turned.mp4").path) as decoder:
        assert (decoder.facts.height, decoder.facts.width) == (168, 112)
        frame = decoder.frames([1.0], 168, 112)[0]
    lying = sequential(video.path, 112, 168)[25]
    assert np.array_equal(frame.pixels, np.rot90(lying, -1))
    assert footage.number_in(np.rot90(frame.pixels)) == 25


def test_a_time_that_is_no_number_is_refused(video):
    with PyAVDecoder(video.path) as decoder, pytest.raises(ValueError, match="finite"):
        decoder.frames([float("nan")], *SIZE)


def test_a_call_that_would_fill_the_memory_is_refused_before_decoding(video):
    with PyAVDecoder(video.path) as decoder:
        began = time.perf_counter()
        with pytest.raises(VideoError, match=r"3000 frames of 2800x2800 are 65\.7 GiB"):
            decoder.frames([1.0] * 3000, 2800, 2800)
        assert time.perf_counter() - began < 0.1


def test_ten_calls_on_one_decoder_open_the_file_once(video, monkeypatch):
    from eva_lightning.video import gop_reader

    opened = []
    real = gop_reader.open_container
    monkeypatch.setattr(gop_reader, "open_container", lambda *a, **k: opened.append(1) or real(*a, **k))
    with PyAVDecoder(video.path) as decoder:
        for second in (5, 0, 3, 1, 4, 2, 5, 0, 3, 1):
            decoder.frames([second], *SIZE)
    assert len(opened) == 1


class Misled:
    """An open file whose seeks land at its end, as those of some transport streams do."""

    def __init__(self, container):
        self.container = container

    def seek(self, ticks, **settings):
        self.container.seek(1 << 40, **settings)

    def __getattr__(self, name):
        return getattr(self.container, name)


def test_a_seek_that_lands_too_late_is_noticed_and_walked_around(video, sequential):
    with PyAVDecoder(video.path) as decoder:
        decoder._reader.container = Misled(decoder._reader.container)
        frame = decoder.frames([3.4], *SIZE)[0]
    assert frame.note == "" and np.array_equal(frame.pixels, sequential(video.path, *SIZE)[85])


@pytest.mark.parametrize("name", ["refresh.mkv", "refresh.ts"])
def test_key_frames_that_are_not_yet_whole_are_walked_back_from(name, tmp_path, sequential):
    """With intra refresh a picture heals column by column: what is marked as a key frame is not shown yet."""
    options = {"preset": "ultrafast", "intra-refresh": "1", "g": "30", "bf": "0"}
    video = footage.write(tmp_path / name, options=options)
    truth = sequential(video.path, *SIZE)
    with PyAVDecoder(video.path) as decoder:
        for number in range(0, 150, 7):
            frame = decoder.frames([number / 25], *SIZE)[0]
            assert frame.note == "" and np.array_equal(frame.pixels, truth[number])
