"""Work in the background is waited for, heard of when it fails, and ended when nobody wants it."""

import asyncio
import threading
import time

import pytest

from eva_lightning.engines.background import Background, SideBySide


async def later(seconds, made):
    await asyncio.sleep(seconds)
    return made


def nobody_is_left():
    return not [one for one in threading.enumerate() if one.name.startswith(("background", "tool"))]


@pytest.fixture
def together():
    made = SideBySide(threads=2)
    yield made
    made.close()
    assert nobody_is_left()


def test_what_was_made_is_handed_over(together):
    for background in (Background(lambda: 7), together.begin(later(0.05, 7))):
        assert background.result() == 7 and background.done and background.problem is None


def test_a_function_goes_on_while_its_caller_does_and_is_waited_for_as_long_as_wanted():
    go_on = threading.Event()
    background = Background(lambda: go_on.wait(30))
    background.wait(0.01)
    assert not background.done and background.problem is None
    go_on.set()
    assert background.result() is True and background.seconds >= 0.01


@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit, asyncio.CancelledError])
def test_a_failure_is_raised_where_the_result_is_wanted_and_the_others_go_on(kind, together):
    def fail():
        raise kind("in the background")

    async def fail_too():
        fail()

    beside = together.begin(later(0.05, 7))
    for background in (Background(fail), together.begin(fail_too())):
        background.wait()
        assert isinstance(background.problem, kind)
        with pytest.raises(kind):
            background.result()
    assert beside.result() == 7


def test_coroutines_are_under_way_together(together):
    """Each waits for the other, so one after the other they would never end."""
    met = asyncio.Barrier(2)
    assert [one.result() in (0, 1) for one in [together.begin(met.wait()) for _ in range(2)]] == [True, True]


def test_one_that_is_not_wanted_is_ended_and_the_others_go_on(together):
    unwanted, beside = together.begin(later(60, 5)), together.begin(later(0.05, 7))
    together.end(unwanted)
    assert isinstance(unwanted.problem, asyncio.CancelledError) and beside.result() == 7
    together.end(unwanted)  # once more does no harm


def test_coroutines_are_ended_at_once_and_their_threads_with_them():
    began, let_go = time.monotonic(), []

    async def holding():
        try:
            await asyncio.to_thread(time.sleep, 0.05)
            await asyncio.sleep(60)
        finally:
            let_go.append(True)

    together = SideBySide(threads=2)
    held = [together.begin(holding()) for _ in range(2)]
    time.sleep(0.01)  # they have begun: one that has not has nothing to let go of
    together.close()
    assert let_go == [True, True] and nobody_is_left() and time.monotonic() - began < 30
    for one in held:
        with pytest.raises(asyncio.CancelledError):
            one.result()
    together.close()  # once more does no harm
