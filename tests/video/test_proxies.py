"""Smaller copies: every frame at its time, told by content, used where large enough, and named then."""

import os
import shutil

import numpy as np
import pytest

from eva_lightning.faults import UsageError, VideoError
from eva_lightning.video.frame_store import FrameStore
from eva_lightning.video.packet_index import packet_index
from eva_lightning.video.proxies import content, make_proxy, proxy_name
from tests.video.footage import number_in, turned, write

KINDS = (
    "h264",
    "hevc open gop",
    "uneven rate",
    "vp9",
    "transport stream",
    "late begin in mkv",
    "ten bit",
    "edit list",
)


def proxy_of(video, folder, pixels=84 * 56):
    folder.mkdir(exist_ok=True)
    file = folder / f"{proxy_name(video, pixels)}.mp4"
    make_proxy(video, file, pixels)
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_has_every_frame_at_its_time_and_decoding_may_begin_at_each(videos, kind, tmp_path):
    video = videos[kind].path
    index, own = packet_index(video), packet_index(proxy_of(video, tmp_path))
    assert own.key.all() and len(own) == len(index)
    assert [own.time(i) for i in range(len(own))] == [index.time(i) for i in range(len(own))]
    times = [(i + 0.5) * index.duration / 9 for i in range(9)]
    with FrameStore(proxies=tmp_path, coarse="never") as quick, FrameStore(coarse="never") as exact:
        some, same = quick.frames(video, times, 56, 84), exact.frames(video, times, 56, 84)
    assert [frame.time for frame in some] == [frame.time for frame in same]
    assert [number_in(frame.pixels) for frame in some] == [number_in(frame.pixels) for frame in same]
    assert {frame.proxy for frame in some} == {proxy_name(video, 84 * 56)}
    assert {frame.proxy for frame in same} == {""}


def test_a_proxy_of_a_turned_video_stands_upright(video, tmp_path):
    sideways = turned(video, tmp_path / "turned.mp4").path
    proxy_of(sideways, tmp_path / "proxies")
    with FrameStore(proxies=tmp_path / "proxies") as quick, FrameStore() as exact:
        (some,), (same,) = quick.frames(sideways, [2.0], 84, 56), exact.frames(sideways, [2.0], 84, 56)
    assert some.proxy and not same.proxy
    bars = (some.pixels[:, 35:50].astype(int) - same.pixels[:, 35:50]) ** 2  # where the bar code is
    assert bars.mean() < 200 < ((same.pixels[::-1, 35:50].astype(int) - same.pixels[:, 35:50]) ** 2).mean()


def test_a_larger_frame_comes_from_the_video_or_from_a_larger_proxy(video, tmp_path):
    proxy_of(video.path, tmp_path)
    with FrameStore(proxies=tmp_path) as store, FrameStore() as exact:
        (large,), (truth,) = (
            store.frames(video.path, [1.0], 84, 112),
            exact.frames(video.path, [1.0], 84, 112),
        )
        assert large.proxy == "" and np.array_equal(large.pixels, truth.pixels)
    proxy_of(video.path, tmp_path, 112 * 168)
    with FrameStore(proxies=tmp_path) as store:
        (small,), (large,) = (store.frames(video.path, [1.0], *size) for size in ((56, 84), (84, 112)))
    assert [one.proxy for one in (small, large)] == [proxy_name(video.path, n) for n in (84 * 56, 112 * 168)]


def test_what_was_shown_is_read_again_bit_for_bit_from_where_it_came(video, tmp_path):
    proxy_of(video.path, tmp_path)
    with FrameStore(proxies=tmp_path) as store, FrameStore() as exact:
        (shown,) = store.frames(video.path, [3.3], 56, 84)
        again = store.read(video.path, shown.time, 56, 84, shown.proxy)
        itself = store.read(video.path, shown.time, 56, 84)
        assert np.array_equal(again.pixels, shown.pixels)
        assert np.array_equal(itself.pixels, exact.read(video.path, shown.time, 56, 84).pixels)
        assert not np.array_equal(itself.pixels, shown.pixels)
        with pytest.raises(VideoError, match="no folder of proxies was named; give it to the store"):
            exact.read(video.path, shown.time, 56, 84, shown.proxy)


def test_spread_out_frames_of_a_proxy_are_the_very_ones(video, tmp_path):
    proxy_of(video.path, tmp_path)
    with FrameStore(proxies=tmp_path) as quick, FrameStore() as coarse:
        asked = [0.6, 2.6, 4.6]
        assert [frame.time for frame in quick.frames(video.path, asked, 56, 84)] == asked
        assert [frame.time for frame in coarse.frames(video.path, asked, 56, 84)] != asked


def test_a_video_that_was_moved_keeps_its_proxy_and_one_that_was_replaced_loses_it(tmp_path):
    film = write(tmp_path / "film.mp4").path
    name = proxy_of(film, tmp_path / "proxies").stem
    moved = shutil.copy(film, tmp_path / "elsewhere.mp4")
    other = write(tmp_path / "other.mp4", times=[i / 10 for i in range(60)]).path
    with FrameStore(proxies=tmp_path / "proxies") as store:
        assert store.frames(moved, [1.0], 56, 84)[0].proxy == name
        assert store.frames(film, [1.0], 56, 84)[0].proxy == name
        os.replace(other, film)
        assert store.frames(film, [1.0], 56, 84)[0].proxy == ""
        with pytest.raises(VideoError, match=f"its proxy {name}, which is not in .*, or the video was"):
            store.read(film, 1.0, 56, 84, name)


def test_a_proxy_with_other_frames_is_refused(videos, tmp_path):
    film, other = videos["h264"].path, videos["uneven rate"].path
    proxy_of(other, tmp_path).rename(tmp_path / f"{proxy_name(film, 84 * 56)}.mp4")
    with FrameStore(proxies=tmp_path) as store, pytest.raises(VideoError, match="delete it: eva prepare"):
        store.frames(film, [1.0], 56, 84)


def test_content_is_told_from_begin_middle_and_end(tmp_path):
    file = tmp_path / "file"
    known = set()
    for place in (None, 0, 1_083_600, (2 << 20) - 1):  # pieces of 64 KiB, the ninth from 1,083,528 on
        bytes_ = bytearray(2 << 20)
        if place is not None:
            bytes_[place] = 1
        file.write_bytes(bytes_)
        known.add(content(file))
    assert len(known) == 4


def test_a_folder_that_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(UsageError, match="is no folder of proxies; eva prepare --proxies .* makes one$"):
        FrameStore(proxies=tmp_path / "none")
