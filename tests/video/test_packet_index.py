import os
import threading

import av
import pytest

from eva_lightning.faults import VideoError
from eva_lightning.video import packet_index as module
from eva_lightning.video.packet_index import build_index, packet_index
from tests.video import footage


def test_six_seconds_at_25_frames_a_second_with_a_key_frame_each_second(video):
    index = build_index(video.path)
    assert len(index) == 150 and len(index.key_pts) == 6
    assert index.duration == pytest.approx(6.0) and index.gop == 1.0 and index.begin == 0
    assert index.locate([0.0, 0.039, 0.04, 3.0, 99, -1]) == [0, 0, 1, 75, 149, 0]
    assert index.locate([0.4, 0.6, 99], coarse=True) == [0, 25, 125]


def test_a_reported_time_finds_its_own_frame_in_every_kind_of_file(videos):
    for kind, video in videos.items():
        index = build_index(video.path)
        times = [index.time(frame) for frame in range(len(index))]
        assert index.locate(times) == list(range(len(index))), kind


def test_the_clock_of_a_file_may_begin_anywhere(videos):
    assert build_index(videos["late begin"].path).begin == 7.5
    assert build_index(videos["late begin in mkv"].path).time(0) == 0.0


def test_frames_before_an_edit_list_are_not_counted_but_lead_to_those_after_it(videos):
    index = build_index(videos["edit list"].path)  # begins at frame 33, the key frames are 25, 50, ...
    assert len(index) == 150 - 33
    assert index.time(0) == 0.0 and index.time(17) == pytest.approx(0.68)
    assert index.key_pts[index.key_before(0)] < index.pts[0]
    assert index.locate([0.0], coarse=True) == [17]  # the first key frame that is shown


def test_a_file_is_read_once_even_by_eight_threads(video, tmp_path, monkeypatch):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video.path.read_bytes())
    built = []
    real = module.build_index
    monkeypatch.setattr(module, "build_index", lambda path: built.append(path) or real(path))
    threads = [threading.Thread(target=packet_index, args=(copy,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_a_changed_file_is_read_again(video, videos, tmp_path):
    path = tmp_path / "changing.mp4"
    path.write_bytes(video.path.read_bytes())
    assert len(packet_index(path)) == 150
    path.write_bytes(videos["h264 long gop"].path.read_bytes())
    assert len(packet_index(path)) == 300


def test_an_index_on_disk_is_the_same_and_a_broken_one_is_made_again(video, tmp_path):
    fresh = packet_index(video.path, tmp_path)
    module._memory.clear()
    first = packet_index(video.path, tmp_path)  # writes
    (stored,) = tmp_path.glob("*.npz")
    module._memory.clear()
    again = packet_index(video.path, tmp_path)  # reads
    for name in ("pts", "rank", "key", "key_pts", "key_rank"):
        assert (getattr(again, name) == getattr(fresh, name)).all()
    assert (again.end, again.tick, again.duration) == (first.end, first.tick, first.duration)
    stored.write_bytes(b"torn")
    module._memory.clear()
    assert len(packet_index(video.path, tmp_path)) == 150


def test_memory_holds_indexes_of_a_bounded_number_of_frames(video, tmp_path, monkeypatch):
    """Of 150 frames each: three fit, and a single one is kept whatever its length."""
    monkeypatch.setattr(module, "MEMORY_FRAMES", 599)
    for number in range(5):
        os.link(video.path, tmp_path / f"{number}.mp4")
        packet_index(tmp_path / f"{number}.mp4")
    assert len(module._memory) == 3
    monkeypatch.setattr(module, "MEMORY_FRAMES", 100)
    packet_index(tmp_path / "0.mp4")
    assert len(module._memory) == 1


def test_of_two_packets_with_one_time_the_first_counts(tmp_path, video):
    path = tmp_path / "twice.mkv"
    with av.open(str(video.path)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            if packet.size:
                packet.stream = stream
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.stream = stream
                new.mux([packet, copy] if number == 30 else packet)
    assert len(build_index(path)) == 150


def test_frames_that_carry_no_time_are_refused_with_a_remedy(tmp_path):
    path = tmp_path / "raw.h264"
    footage.write(path, times=[i / 25 for i in range(50)])
    with pytest.raises(VideoError, match="ffmpeg -i IN"):
        build_index(path)
