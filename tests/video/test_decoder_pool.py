import threading
import time

import pytest

from eva_lightning.faults import VideoError
from eva_lightning.video import decoder_pool
from eva_lightning.video.decoder_pool import DecoderPool


class Door:
    """Stands for an open file."""

    def __init__(self, path, threads=1):
        self.path, self.threads, self.closed = path, threads, False

    def close(self):
        self.closed = True


def name(letter):
    return (letter, 0, 1)


@pytest.fixture
def opened():
    return []


@pytest.fixture
def pool(opened, monkeypatch):
    monkeypatch.setattr(decoder_pool.os, "cpu_count", lambda: 4)

    def open_one(path, threads):
        if path == "bad":
            raise VideoError("bad: is bad")
        opened.append(Door(path, threads))
        return opened[-1]

    return DecoderPool(open_one, max_open=2)


def test_a_decoder_that_came_back_is_lent_again(pool, opened):
    for _ in range(3):
        with pool.borrow(name("a")) as door:
            assert door.path == "a"
    assert len(opened) == 1 and pool.open == 1


def test_the_one_not_used_for_longest_is_closed_for_a_new_one(pool, opened):
    for letter in "abac":
        with pool.borrow(name(letter)):
            pass
    assert [(door.path, door.closed) for door in opened] == [("a", False), ("b", True), ("c", False)]


def test_a_decoder_with_more_threads_is_another_one_and_counts_like_any(pool, opened):
    for threads in (1, 2, 2, 1, 3):
        with pool.borrow(name("a"), threads) as door:
            assert door.threads == threads
    assert [(door.threads, door.closed) for door in opened] == [(1, False), (2, True), (3, False)]


def test_two_callers_of_one_file_get_two_decoders(pool, opened):
    with pool.borrow(name("a")) as one, pool.borrow(name("a")) as two:
        assert one is not two and pool.open == 2


def test_a_third_caller_waits_until_one_comes_back(pool, opened):
    got = threading.Event()

    def third():
        with pool.borrow(name("c")):
            got.set()

    with pool.borrow(name("a")):
        with pool.borrow(name("b")):
            thread = threading.Thread(target=third)
            thread.start()
            time.sleep(0.05)
            assert not got.is_set() and pool.open == 2
        assert got.wait(5)
    thread.join()
    assert opened[1].closed and not opened[0].closed


def test_a_file_that_does_not_open_takes_no_place(pool):
    for _ in range(5):
        with pytest.raises(VideoError), pool.borrow(name("bad")):
            pass
    assert pool.open == 0


def test_a_decoder_that_failed_is_not_lent_again(pool, opened):
    with pytest.raises(KeyError), pool.borrow(name("a")):
        raise KeyError
    assert opened[0].closed and pool.open == 0


def test_closing_waits_for_nobody_and_closes_all(pool, opened):
    with pool.borrow(name("a")), pool.borrow(name("b")):
        pool.close()
        assert not opened[0].closed
    assert opened[0].closed and opened[1].closed and pool.open == 0
    with pytest.raises(VideoError, match="closed"), pool.borrow(name("a")):
        pass
