"""What the engine of many servers remembers of them, and a turn that nobody waits for. The server is one
that hears and is silent; tests/system/test_vllm_servers.py asks real ones.
"""

import asyncio
import threading

import pytest

from eva_lightning.engines.base import Context, Sampling
from eva_lightning.engines.vllm import server_engine
from eva_lightning.engines.vllm.server_engine import VLLMServerEngine, _Server
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.records import Message
from tests.engines.sockets import hear, silent, speaking


def test_the_names_of_images_that_a_server_was_sent_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(server_engine, "MOST_KNOWN", 3)
    server = _Server(http=None)
    server.knows(["a", "b", "c"])
    server.knows(["a", "d"])
    assert list(server.known) == ["c", "a", "d"]  # b was not sent for longest


def starting(said, asked):
    """Says that it is well and which version it is, and nothing to whoever wants a turn."""

    def script(connection, number, over):
        while heard := hear(connection):
            path = heard.split()[1]
            if path == b"/inference/v1/generate":
                asked.set()
                silent(connection, number, over)
                return
            reply = b'{"version": "0.32.0"}' if path == b"/version" else b""
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(reply), reply))
            said.append(path)

    return script


def test_a_turn_that_nobody_waits_for_ends_at_once_and_its_server_is_well(tiny_folder):
    policy = load_policy(PolicyConfig(path=str(tiny_folder)))
    opening = (Message(role="user", parts=("What?",)),)
    ids = tuple(policy.renderer.opening(opening))
    context = Context(messages=opening, ids=ids, pixels=None, task_id="t")
    said, asked = [], threading.Event()

    async def give_up(engine):
        await asyncio.wait_for(engine.write(context, Sampling(max_tokens=4)), 1.0)

    with speaking(starting(said, asked)) as url:
        engine = VLLMServerEngine(policy, [url], timeout=300, concurrency=1)
        with pytest.raises(TimeoutError):
            asyncio.run(give_up(engine))
        threads = [one for one in threading.enumerate() if one.name.startswith("vllm-servers")]
        engine.close()
        for one in threads:
            one.join(20)
        assert asked.is_set() and not any(one.is_alive() for one in threads)
        assert (engine.servers[0].problem, engine.servers[0].writing) == (None, 0)
    assert said == [b"/health", b"/version"]
