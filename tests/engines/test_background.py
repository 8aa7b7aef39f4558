"""Work in the background is waited for, heard of when it fails, and ended when nobody wants it."""

import asyncio
import threading
import time

import pytest

from eva_lightning.engines.background import Background


async def later(seconds, made):
    await asyncio.sleep(seconds)
    return made


def nobody_is_left():
    return not [one for one in threading.enumerate() if one.name == "background"]


def test_what_was_made_is_handed_over():
    for background in (Background(lambda: 7), Background(later(0.05, 7))):
        assert background.result() == 7 and background.done and background.problem is None
    assert nobody_is_left()


def test_a_function_goes_on_while_its_caller_does_and_is_waited_for_as_long_as_wanted():
    go_on = threading.Event()
    background = Background(lambda: go_on.wait(30))
    background.wait(0.01)
    assert not background.done and background.problem is None
    go_on.set()
    assert background.result() is True and background.seconds >= 0.01


def test_a_failure_is_raised_where_the_result_is_wanted():
    def fail():
        raise ZeroDivisionError("in the background")

    async def fail_too():
        fail()

    for background in (Background(fail), Background(fail_too())):
        background.wait()
        assert isinstance(background.problem, ZeroDivisionError)
        with pytest.raises(ZeroDivisionError, match="in the background"):
            background.result()


def test_a_coroutine_is_dropped_at_once_and_its_threads_with_it():
    began, let_go = time.monotonic(), []

    async def holding():
        try:
            await asyncio.to_thread(time.sleep, 0.05)
            await asyncio.sleep(60)
        finally:
            let_go.append(True)

    background = Background(holding())
    background.drop()
    assert let_go == [True] and nobody_is_left() and time.monotonic() - began < 30
    with pytest.raises(asyncio.CancelledError):
        background.result()
    background.drop()  # once more does no harm
