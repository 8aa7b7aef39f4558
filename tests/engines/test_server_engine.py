"""Any OpenAI-compatible endpoint: what is sent, what is tried again, what is a fault. Against a real HTTP
server.
"""

import asyncio
import base64
import io
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from eva_lightning.engines import server_engine
from eva_lightning.engines.base import Context, Sampling
from eva_lightning.engines.server_engine import ServerEngine
from eva_lightning.faults import EngineFault
from eva_lightning.records import Message
from tests.engines.sockets import hear, silent, speaking
from tests.making import frame

GREY = np.arange(56 * 84 * 3, dtype=np.uint8).reshape(56, 84, 3)


class Listening(ThreadingHTTPServer):
    """Has room for many who call at once: with the usual five, a busy machine turns some away."""

    request_queue_size = 128


@contextmanager
def serving(script):
    """A server that answers the n-th POST with script(n, body): (status, reply) ; GET lists one model."""
    asked, lock = [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._reply(200, {"data": [{"id": "tiny"}]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                asked.append((self.path, body, self.headers["Authorization"]))
                number = len(asked)
            self._reply(*script(number, body))

        def _reply(self, status, reply):
            data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(OSError):  # some leave before they have heard all
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = Listening(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def says(text, finish="stop"):
    return 200, {"choices": [{"message": {"content": text}, "finish_reason": finish}]}


MESSAGES = (
    Message(role="user", parts=("What colour?",)),
    Message(role="assistant", parts=("look",)),
    Message(role="tool", parts=("Frame 0: ", frame(), "done")),
)


def ask(url, **settings):
    engine = ServerEngine(url, **({"pause": 0.01, "retries": 2} | settings))
    context = Context(messages=MESSAGES, ids=(), pixels=lambda ref: GREY)
    try:
        return asyncio.run(engine.write(context, Sampling(temperature=0.5, max_tokens=7, seed=2**40 + 3)))
    finally:
        engine.close()


def test_the_conversation_goes_out_with_lossless_frames(monkeypatch):
    monkeypatch.setenv("MY_KEY", "k")
    with serving(lambda n, body: says("blue")) as (url, asked):
        said = ask(url, key_variable="MY_KEY")
    path, body, key = asked[0]
    assert (said.text, said.cut, path, key) == ("blue", False, "/v1/chat/completions", "Bearer k")
    assert (body["model"], body["temperature"], body["max_tokens"], body["seed"]) == (
        "tiny",
        0.5,
        7,
        3 + 2**40 % 2**31,
    )
    assert body["messages"][0] == {"role": "user", "content": "What colour?"}
    label, image, rest = body["messages"][2]["content"]
    assert (body["messages"][2]["role"], label["text"], rest["text"]) == ("tool", "Frame 0: ", "done")
    png = base64.b64decode(image["image_url"]["url"].removeprefix("data:image/png;base64,"))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), GREY)


def test_a_turn_that_ran_into_the_limit_is_cut():
    with serving(lambda n, body: says("blu", "length")) as (url, _):
        assert ask(url).cut


def test_a_busy_server_is_asked_again():
    with serving(lambda n, body: (503, {"error": "busy"}) if n < 3 else says("blue")) as (url, asked):
        assert ask(url, model="m").text == "blue"
        assert len(asked) == 3


def test_a_refusal_is_final_and_quotes_the_server():
    with serving(lambda n, body: (400, {"error": "too many images"})) as (url, asked):
        with pytest.raises(EngineFault, match="refused: HTTP 400.*too many images"):
            ask(url, model="m")
        assert len(asked) == 1


def test_a_server_that_stays_busy_is_a_fault_that_counts_the_tries():
    with serving(lambda n, body: (500, {})) as (url, asked):
        with pytest.raises(EngineFault, match="did not answer in 3 tries; last: HTTP 500"):
            ask(url, model="m")
        assert len(asked) == 3


@pytest.mark.parametrize(
    "reply",
    [
        b"<html>",
        b'{"choices": []}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": [{"type": "text"}]}}]}',
        b"[]",
        b"[" * 100_000,
    ],
)
def test_a_reply_that_makes_no_sense_is_a_fault(reply):
    with serving(lambda n, body: (200, reply)) as (url, _), pytest.raises(EngineFault):
        ask(url, model="m", retries=0)


def test_half_a_character_is_replaced_so_that_a_file_can_hold_the_turn():
    with serving(lambda n, body: says("red \ud83d")) as (url, _):
        assert ask(url, model="m").text == "red ?"


def test_a_dead_server_is_a_fault():
    with pytest.raises(EngineFault, match="did not answer"):
        ask("http://127.0.0.1:9", model="m", retries=1)


def test_a_server_that_hangs_is_given_up():
    def hang(n, body):
        time.sleep(0.5)
        return says("late")

    with serving(hang) as (url, _), pytest.raises(EngineFault, match="imed out"):
        ask(url, model="m", retries=0, timeout=0.1)


def test_no_more_requests_are_under_way_than_allowed():
    under_way, most, lock = 0, 0, threading.Lock()
    three = threading.Barrier(3)

    def script(n, body):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        three.wait(30)  # fewer would wait in vain
        time.sleep(0.02)  # more would be seen
        with lock:
            under_way -= 1
        return says("x")

    with serving(script) as (url, asked):
        engine = ServerEngine(url, "m", concurrency=3)
        context = Context(messages=MESSAGES[:1], ids=(), pixels=lambda ref: GREY)

        async def many():
            await asyncio.gather(*(engine.write(context, Sampling()) for _ in range(12)))

        asyncio.run(many())
        engine.close()
    assert (len(asked), most) == (12, 3)


def test_a_command_ends_when_nobody_waits_for_a_reply_any_more(tmp_path):
    program = tmp_path / "command.py"
    program.write_text(
        "import asyncio, sys\n"
        "from eva_lightning.engines.server_engine import ServerEngine\n"
        "from eva_lightning.engines.single_turn import ask\n"
        "engine = ServerEngine(sys.argv[1], 'm', timeout=60)\n"
        "try:\n"
        "    asyncio.run(ask(engine, ('What?',), None, clips=(), timeout=0.5))\n"
        "except Exception as fault:\n"
        "    print(fault)\n"
    )
    with speaking(silent) as url:
        done = subprocess.run(
            [sys.executable, str(program), url], capture_output=True, text=True, timeout=45, check=True
        )  # five tries of a minute each, did it go on
    assert done.stdout == "ServerEngine did not reply in 0.5 s\n" and not done.stderr


def test_requests_that_nobody_waits_for_leave_room_for_others():
    def script(connection, number, over):
        if number <= 2:  # the other two were still waiting for a thread when they were given up
            silent(connection, number, over)
        else:
            answer(connection)

    async def many(engine):
        patience = (0.9, 0.9, 0.3, 0.3)  # those without a thread leave first, on a busy machine, too
        late = [asyncio.wait_for(engine.write(WORDS_ONLY, Sampling()), seconds) for seconds in patience]
        outcomes = await asyncio.gather(*late, return_exceptions=True)
        return outcomes, await asyncio.wait_for(engine.write(WORDS_ONLY, Sampling()), 30)

    with speaking(script) as url:
        engine = ServerEngine(url, "m", concurrency=2, timeout=300)
        outcomes, said = asyncio.run(many(engine))
        engine.close()
    assert [type(one) for one in outcomes] == [TimeoutError] * 4 and said.text == "blue"
    assert engine.meter.usage.retries == 0 and engine.meter.usage.requests == 1


def test_a_silent_server_is_not_asked_for_its_models_for_ever(monkeypatch):
    monkeypatch.setattr(server_engine, "NAMING", 0.5)
    with speaking(silent) as url, pytest.raises(EngineFault, match="/models did not answer in 1 tries"):
        ServerEngine(url, timeout=300, pause=0.01).model_name()


def test_a_turn_that_was_lost_on_a_closed_connection_is_asked_for_again_and_counted():
    heard = []

    def script(connection, number, over):
        while hear(connection):
            heard.append(number)
            if heard == [1, 1]:
                return  # the connection was kept, and is dropped with the request in it
            say(connection)

    with speaking(script) as url:
        engine = ServerEngine(url, "m", concurrency=1, pause=0.01)
        said = [asyncio.run(engine.write(WORDS_ONLY, Sampling())).text for _ in range(2)]
        engine.close()
    assert (said, heard) == (["blue", "blue"], [1, 1, 2])
    assert engine.meter.usage.retries == 1 and sum(engine.meter.usage.failures.values()) == 1


WORDS_ONLY = Context(messages=MESSAGES[:1], ids=(), pixels=lambda ref: GREY)


def say(connection):
    reply = json.dumps(says("blue")[1]).encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply)


def answer(connection):
    while hear(connection):
        say(connection)
