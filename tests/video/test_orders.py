import pytest

from eva_lightning.video.identity import file_identity
from eva_lightning.video.orders import Order, View, cut, threads_for
from eva_lightning.video.packet_index import packet_index


def test_frames_are_named_by_their_ticks_and_groups_by_their_key_frame(video):
    index = packet_index(video.path)  # 25 frames a group
    view = View(file_identity(video.path), index, 56, 84)
    assert [view.group(frame)[1] for frame in (0, 24, 25, 149)] == [0, 0, 1, 5]
    assert view.frame(30) == (view.identity, int(index.pts[30]), 56, 84)


def test_an_order_takes_more_until_it_begins(video):
    view = View(file_identity(video.path), packet_index(video.path), 56, 84)
    order = Order(view, view.group(3), 3)
    assert order.add(7)
    assert order.begin() == [3, 7]
    assert not order.add(9)
    assert order.begin() == [3, 7]


def test_orders_are_cut_into_parts_and_none_is_empty():
    assert cut([], 6) == []
    assert cut(["a", "b", "c"], 2) == [["a"], ["b", "c"]]
    assert cut(["a", "b"], 6) == [["a"], ["b"]]


def test_what_the_whole_would_wait_for_gets_all_threads(videos):
    video = videos["h264 long gop"]  # 250 frames in the first group, 50 in the second
    view = View(file_identity(video.path), packet_index(video.path), 56, 84)

    def parts(*groups):
        return [[Order(view, view.group(frame), frame) for frame in group] for group in groups]

    assert [part[0].pictures for part in parts([0], [3], [200], [299])] == pytest.approx(
        [1, 5, 201, 50], abs=4
    )
    assert threads_for(parts([200]), spare=2) == [2]
    assert threads_for(parts([200], [299]), spare=2) == [2, 1]
    assert threads_for(parts([200], [200]), spare=2) == [1, 1]  # side by side they use both
    assert threads_for(parts([200], [200]), spare=4) == [4, 4]
    assert threads_for(parts([200], [299]), spare=1) == [1, 1]
    assert threads_for(parts([10]), spare=2) == [1]  # too little to be worth it
    assert threads_for([], spare=2) == []
