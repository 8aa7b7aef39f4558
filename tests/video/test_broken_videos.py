"""Broken files give one clear line, or frames with a note: within two seconds, with nothing left open."""

import gc
import os
import time
from contextlib import contextmanager

import av
import numpy as np
import pytest

from eva_lightning.faults import VideoError
from eva_lightning.video.frame_store import FrameStore
from eva_lightning.video.opening import open_decoder
from eva_lightning.video.pyav_decoder import PyAVDecoder
from eva_lightning.video.skipping import nothing_refers_to
from tests.video import footage

SIZE = 56, 84


def empty(path, video):
    path.write_bytes(b"")


def text(path, video):
    path.write_text("this is not a video\n" * 100)


def noise(path, video):
    path.write_bytes(np.random.default_rng(0).bytes(50_000))


def folder(path, video):
    path.mkdir()


def missing(path, video):
    pass


def header_only(path, video):
    path.write_bytes(video.path.read_bytes()[:600])


def no_sample_table(path, video):
    content = video.path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])


def zeroed_sample_table(path, video):
    content = bytearray(video.path.read_bytes())
    at = content.index(b"stbl") + 4
    content[at : at + 3000] = bytes(len(content[at : at + 3000]))
    path.write_bytes(content)


def sound_only(path, video):
    with av.open(str(path), "w", format="mp4") as container:
        footage.mux_sound(
            container, container.add_stream("aac", rate=16000, layout="mono"), np.zeros(16000), 0
        )


def playlist(path, video):
    path.write_text("#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:9/segment.ts\n#EXT-X-ENDLIST\n")


def huge(path, video):
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 16384, 2304, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(16384, 2304, "yuv420p")))
        container.mux(stream.encode())


HOPELESS = {
    empty: "the file is empty",
    text: "can not be read as a video",
    noise: "can not be read as a video",
    folder: "not a file",
    missing: "no such file",
    header_only: "can not be read as a video",
    no_sample_table: "can not be read as a video",
    zeroed_sample_table: "no frames|can not be read|no video stream",
    sound_only: "no video stream",
    playlist: "can not be read as a video",
    huge: "16384x2304 are over the limit",
}


@contextmanager
def within_two_seconds():
    gc.collect()  # files of earlier tests, which nobody holds any more
    files, began = len(os.listdir("/proc/self/fd")), time.perf_counter()
    yield
    assert time.perf_counter() - began < 2
    assert len(os.listdir("/proc/self/fd")) <= files


@pytest.mark.parametrize("make", HOPELESS, ids=lambda make: make.__name__)
def test_a_hopeless_file_is_named_in_one_line_that_says_what_to_do(make, tmp_path, video):
    path = tmp_path / "clip.mp4"
    make(path, video)
    with FrameStore(device="pyav") as store, within_two_seconds():
        for call in (lambda: store.facts(path), lambda: store.frames(path, [1.0], *SIZE)):
            with pytest.raises(VideoError, match="(?i)" + HOPELESS[make]) as caught:
                call()
            message = str(caught.value)
            assert str(path) in message and ";" in message and "\n" not in message


def test_a_torn_matroska_file_ends_where_it_is_torn(videos, tmp_path):
    path = tmp_path / "torn.mkv"
    content = videos["late begin in mkv"].path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with within_two_seconds(), PyAVDecoder(path) as decoder:
        assert 2 < decoder.facts.duration < 4
        frames = decoder.frames([0.0, 1.0, 5.9], *SIZE)
    assert [footage.number_in(frame.pixels) for frame in frames[:2]] == [0, 25]
    assert frames[2].time > 2


def test_a_torn_transport_stream_ends_where_it_is_torn(videos, tmp_path):
    path = tmp_path / "torn.ts"
    content = videos["transport stream"].path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with within_two_seconds(), PyAVDecoder(path) as decoder:
        assert footage.number_in(decoder.frames([1.0], *SIZE)[0].pixels) == 25


def test_a_recording_that_starts_in_the_middle_begins_at_its_first_key_frame(videos, tmp_path):
    path = tmp_path / "joined.ts"
    content = videos["transport stream"].path.read_bytes()
    path.write_bytes(content[188 * (len(content) // 188 // 2) :])
    with within_two_seconds(), PyAVDecoder(path) as decoder:
        assert footage.number_in(decoder.frames([0.0], *SIZE)[0].pixels) % 25 == 0


def damaged(video, path, first, last):
    """A copy in which the packets of frames first..last (as stored) are zeroed."""
    content = bytearray(video.path.read_bytes())
    with av.open(str(video.path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for at, size in places[first : last + 1]:
        content[at : at + size] = bytes(size)
    path.write_bytes(content)
    return path


def test_zeros_in_the_middle_cost_the_frames_there_and_no_others(video, tmp_path, sequential):
    truth = sequential(video.path, *SIZE)
    path = damaged(
        video, tmp_path / "hole.mp4", 60, 64
    )  # in the third second; the rest of it refers to these
    asked = [0.0, 1.5, 2.0, 2.72, 2.96, 3.0, 4.5]
    with within_two_seconds(), PyAVDecoder(path) as decoder:
        frames = decoder.frames(asked, *SIZE)
    assert [bool(frame.note) for frame in frames] == [False, False, False, True, True, False, False]
    for frame in frames:  # also a replacement is a true frame, at its own time
        assert np.array_equal(frame.pixels, truth[round(frame.time * 25)])
    assert frames[4].time == 3.0
    assert frames[4].note == "the frame at 2.96 s is damaged; this is the one at 3 s"


def test_pictures_that_were_decoded_before_damage_was_met_count_as_well(video, tmp_path):
    path = damaged(video, tmp_path / "hole.mp4", 60, 64)
    with PyAVDecoder(path) as decoder:
        for _ in range(10):
            decoder.frames([i / 25 for i in range(50)], *SIZE)
        before = decoder.pictures
        decoder.frames([2.72], *SIZE)
        assert decoder.pictures > before >= 500


def test_the_reported_time_of_a_replacement_gives_the_same_frame_without_a_note(video, tmp_path):
    path = damaged(video, tmp_path / "hole.mp4", 60, 64)
    with FrameStore(device="pyav") as store:
        instead = store.frames(path, [2.72], *SIZE)[0]
        again = store.read(path, instead.time, *SIZE)
    assert instead.note and not again.note
    assert np.array_equal(instead.pixels, again.pixels)


def test_a_lost_key_frame_costs_its_group(video, tmp_path):
    path = damaged(video, tmp_path / "hole.mp4", 50, 50)
    with within_two_seconds(), PyAVDecoder(path) as decoder:
        frames = decoder.frames([1.9, 2.0, 2.2, 2.9, 3.0], *SIZE)
    assert [footage.number_in(frame.pixels) for frame in frames] == [47, 49, 49, 75, 75]
    assert [bool(frame.note) for frame in frames] == [False, True, True, True, False]


def test_nothing_but_damage_is_a_clear_error(video, tmp_path):
    path = damaged(video, tmp_path / "all.mp4", 0, 149)
    clear = pytest.raises(VideoError, match="nothing can be decoded around 3 s; the file is damaged")
    with within_two_seconds(), PyAVDecoder(path) as decoder, clear:
        decoder.frames([3.0], *SIZE)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_torn_picture_that_nothing_refers_to_costs_no_other(threads, videos, sequential, tmp_path):
    video = videos["h264 long gop"]
    with av.open(str(video.path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    torn = next(packet for packet in packets[60:] if nothing_refers_to(packet, 4))
    content = bytearray(video.path.read_bytes())
    content[torn.pos + 5 : torn.pos + torn.size] = bytes(torn.size - 5)  # it still says what it is
    path = tmp_path / "torn.mp4"
    path.write_bytes(content)
    times = [float(torn.pts * torn.time_base) + later for later in (0.0, 0.4, 3.0)]
    with PyAVDecoder(path, threads=threads) as decoder:
        for again in range(2):
            frames = decoder.frames(times[again:], *SIZE)
            assert [bool(frame.note) for frame in frames] == [True, False, False][again:]
            for frame in frames:
                assert np.array_equal(frame.pixels, sequential(video.path, *SIZE)[round(frame.time * 25)])


def scratched(video, path, dice, places, zeros):
    """A copy in which 40 bytes are overwritten at some places."""
    content = bytearray(video.path.read_bytes())
    for at in dice.integers(content.index(b"mdat") + 800, content.index(b"moov") - 44, places):
        content[at : at + 40] = bytes(40) if zeros else dice.bytes(40)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("places", [1, 2, 3])
@pytest.mark.parametrize("zeros", [True, False])
def test_a_damaged_frame_is_the_same_whoever_asks_for_what_else(places, zeros, videos, tmp_path):
    video = videos["h264 long gop"]  # 12 s, 250 frames a group
    dice = np.random.default_rng(places)
    for number in range(4):
        path = scratched(video, tmp_path / f"scratched{number}.mp4", dice, places, zeros)
        times = sorted(float(t) for t in dice.uniform(0, 12, 9))
        with PyAVDecoder(path) as one, PyAVDecoder(path, threads=3) as several:
            at_once = [one.frames(times, *SIZE), several.frames(times, *SIZE)]
            again = several.frames(times[::-1], *SIZE)[::-1]
        with PyAVDecoder(path) as stepping:
            single = [stepping.frames([t], *SIZE)[0] for t in times]
        for a, *others in zip(*at_once, again, single, strict=True):
            for b in others:
                assert (a.time, a.note) == (b.time, b.note) and np.array_equal(a.pixels, b.pixels)


def test_flipped_bits_never_crash(video, tmp_path):
    content = video.path.read_bytes()
    begin, end = content.index(b"mdat") + 800, content.index(b"moov") - 4
    dice = np.random.default_rng(3)
    for number in range(5):
        broken = bytearray(content)
        for at in dice.integers(begin, end, 30):
            broken[at] = int(dice.integers(256))
        path = tmp_path / f"flipped{number}.mp4"
        path.write_bytes(broken)
        with within_two_seconds(), PyAVDecoder(path) as decoder:
            assert len(decoder.frames([i / 4 for i in range(24)], *SIZE)) == 24


def test_five_hundred_opens_leave_no_file_open(video, tmp_path):
    bad = tmp_path / "bad.mp4"
    text(bad, video)
    with open_decoder(video.path, "pyav") as decoder:
        decoder.frames([1.0], *SIZE)
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(500):
        if number % 5 == 4:
            with pytest.raises(VideoError):
                open_decoder(bad, "pyav")
        else:
            with open_decoder(video.path, "pyav") as decoder:
                decoder.frames([number % 6], *SIZE)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_picture_that_comes_out_beside_others_alone_stands_in_for_none(videos, tmp_path):
    """Frame 121 is two packets of one time, the first of them next to empty."""
    path = tmp_path / "twice.mkv"
    with av.open(str(videos["late begin in mkv"].path)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        time = sorted(packet.pts for packet in packets)[121]
        for packet in packets:
            if packet.pts == time:
                empty = av.Packet(b"\0\0\0\3" + bytes(packet)[4:7])
                empty.pts, empty.dts, empty.time_base = packet.pts, packet.dts, packet.time_base
                empty.stream = stream
                new.mux(empty)
            packet.stream = stream
            new.mux(packet)
    with within_two_seconds(), PyAVDecoder(path) as beside, PyAVDecoder(path) as alone:
        for _ in range(2):
            (one,), other = alone.frames([4.84], *SIZE), beside.frames([4.74, 4.84, 4.94], *SIZE)[1]
            assert (one.time, one.note) == (other.time, other.note)
            assert one.note.startswith("the frame at 4.84 s is damaged; this is the one at 4.8")
            assert footage.number_in(one.pixels) == round(one.time * 25) != 121
