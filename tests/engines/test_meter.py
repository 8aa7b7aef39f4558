"""What a server says it was asked for, added up; against a real HTTP server."""

import asyncio

import pytest

from eva_lightning.engines.base import Context, Sampling
from eva_lightning.engines.meter import Meter, Usage, usage_of
from eva_lightning.engines.server_engine import ServerEngine
from eva_lightning.faults import EngineFault
from tests.engines.test_server_engine import GREY, MESSAGES, says, serving

USAGE = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 60}}


def metered(url, **settings):
    """The usage of one turn of a conversation with one frame."""
    engine = ServerEngine(url, "m", **({"pause": 0.01, "retries": 2} | settings))
    context = Context(messages=MESSAGES, ids=(), pixels=lambda ref: GREY)
    try:
        asyncio.run(engine.write(context, Sampling()))
    finally:
        engine.close()
    return engine.meter.usage


def test_a_reply_brings_its_tokens_and_the_frames_that_were_sent():
    with serving(lambda n, body: (200, says("blue")[1] | {"usage": USAGE})) as (url, _):
        used = metered(url)
    assert (used.requests, used.retries, used.images, used.unmetered) == (1, 0, 1, 0)
    assert (used.prompt_tokens, used.cached_tokens, used.written_tokens) == (100, 60, 7)
    assert 0 < used.seconds < 60 and used.failures == {}


def test_tries_again_and_their_causes_are_counted():
    with serving(lambda n, body: (503, {}) if n < 3 else says("blue")) as (url, _):
        used = metered(url)
    assert (used.requests, used.retries, used.failures) == (1, 2, {"HTTP 503": 2})
    assert used.unmetered == 1  # it told no tokens


def test_what_never_succeeds_is_counted_too():
    engine = ServerEngine("http://127.0.0.1:9", "m", retries=1, pause=0.01)
    with pytest.raises(EngineFault):
        asyncio.run(engine.write(Context(messages=MESSAGES[:1], ids=(), pixels=None), Sampling()))
    engine.close()
    used = engine.meter.usage
    assert (used.requests, used.retries, used.failures) == (0, 1, {"ConnectionRefusedError": 2})


@pytest.mark.parametrize("said", [None, [], {}, {"prompt_tokens": "many"}])
def test_a_reply_without_sensible_tokens_is_unmetered(said):
    assert usage_of({"usage": said}, 3, 0.5) == Usage(requests=1, images=3, seconds=0.5, unmetered=1)


def test_tokens_that_are_no_number_do_not_end_a_run():
    said = {"prompt_tokens": 9, "completion_tokens": 2.5, "prompt_tokens_details": {"cached_tokens": "some"}}
    used = Usage() + usage_of({"usage": said}, 0, 0.0)
    assert (used.prompt_tokens, used.cached_tokens, used.written_tokens) == (9, 0, 0)


def test_usage_adds_up_and_every_change_is_told():
    meter, told = Meter(), []
    meter.on_change = lambda: told.append(meter.usage.requests)
    meter.add(Usage(requests=1, failures={"HTTP 500": 1}))
    meter.add(Usage(requests=2, seconds=0.5, failures={"HTTP 500": 2, "HTTP 429": 1}))
    assert meter.usage == Usage(requests=3, seconds=0.5, failures={"HTTP 500": 3, "HTTP 429": 1})
    assert told == [1, 3]
