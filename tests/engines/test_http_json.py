"""JSON over HTTP with servers that drip, never end, say nothing or hang up: all real ones."""

import shutil
import ssl
import subprocess
import threading
import time

import pytest

from eva_lightning.engines import wire
from eva_lightning.engines.caller import Caller, NobodyWaits
from eva_lightning.engines.http_json import HttpJson, Refused, Unreachable
from eva_lightning.engines.keys import Key
from tests.engines.sockets import WHOLE, hear, silent, speaking

LONG = 20.0
"""Seconds in which everything below has long been over, on the busiest machine."""


def drip(text, every=0.05):
    """Says `text` a byte at a time, for ever."""

    def script(connection, number, over):
        hear(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        while not over.wait(every):
            connection.sendall(text)

    return script


@pytest.mark.parametrize("text", [b"X", b"\r\n "], ids=["in the headers", "in the body"])
def test_a_reply_that_drips_is_over_when_its_time_is(text):
    began = time.monotonic()
    with speaking(drip(text)) as url, pytest.raises(Unreachable, match="no whole reply in 0.5 s"):
        HttpJson(url, timeout=0.5).get("/")
    assert 0.5 <= time.monotonic() - began < LONG


def test_a_server_that_hears_nothing_does_not_hold_what_is_sent():
    def deaf(connection, number, over):
        over.wait(60)

    began = time.monotonic()
    with speaking(deaf) as url, pytest.raises(Unreachable, match="no whole reply in 0.5 s"):
        HttpJson(url, timeout=0.5).post("/", "x" * 2**25)  # more than the sockets in between can hold
    assert time.monotonic() - began < LONG


def endless(connection, number, over):
    hear(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not over.is_set():
        connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def large(connection, number, over):
    hear(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{")
    silent(connection, number, over)


def open_ended(connection, number, over):
    hear(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not over.is_set():
        connection.sendall(b" " * 0x10000)


@pytest.mark.parametrize("script", [endless, large, open_ended])
def test_a_reply_without_end_is_cut_off(script):
    with speaking(script) as url, pytest.raises(Unreachable, match="more than 1,000,000 bytes"):
        HttpJson(url, timeout=60, most_bytes=1_000_000).get("/")


def test_half_a_reply_is_none():
    def half(connection, number, over):
        hear(connection)
        connection.sendall(WHOLE[:-4])

    with speaking(half) as url, pytest.raises(Unreachable, match="IncompleteRead"):
        HttpJson(url, timeout=10).get("/")


def counted(heard, *, after_hearing):
    """A server that hangs up on its first connection: after one reply, before or after the next question."""

    def script(connection, number, over):
        while True:
            asked = hear(connection)
            if not asked:
                return
            heard.append(asked.split()[1])
            if number == 1 and len(heard) == 2 and after_hearing:
                return
            connection.sendall(WHOLE)
            if number == 1 and not after_hearing:
                return

    return script


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again():
    heard = []
    with speaking(counted(heard, after_hearing=False)) as url:
        http = HttpJson(url, timeout=10)
        assert http.post("/a") == {"said": 1}
        time.sleep(0.2)  # the server's goodbye is here before the next question
        assert http.post("/b") == {"said": 1}
    assert heard == [b"/a", b"/b"]


def test_what_a_server_may_have_heard_is_said_once_more_only_where_that_does_no_harm():
    for again, told in ((True, [b"/a", b"/b", b"/b"]), (False, [b"/a", b"/b"])):
        heard = []
        with speaking(counted(heard, after_hearing=True)) as url:
            http = HttpJson(url, timeout=10)
            http.post("/a", {})
            if again:
                assert http.post("/b", {}, again=True) == {"said": 1}
            else:
                with pytest.raises(Unreachable):
                    http.post("/b", {})
        assert heard == told


def test_a_question_is_asked_again_by_itself():
    heard = []
    with speaking(counted(heard, after_hearing=True)) as url:
        http = HttpJson(url, timeout=10)
        assert http.get("/a") == http.get("/b") == {"said": 1}
    assert heard == [b"/a", b"/b", b"/b"]


def test_a_caller_who_leaves_takes_the_connection_along():
    caller, gone = Caller(), threading.Event()

    def script(connection, number, over):
        silent(connection, number, over)
        gone.set()

    with speaking(script) as url:
        threading.Timer(0.2, caller.leave).start()
        began = time.monotonic()
        with pytest.raises(NobodyWaits):
            HttpJson(url, timeout=60).post("/", {}, caller=caller)
        assert time.monotonic() - began < LONG and gone.wait(LONG)


def test_nothing_is_asked_for_a_caller_who_has_left():
    caller = Caller()
    caller.leave()
    heard = []
    with speaking(counted(heard, after_hearing=False)) as url, pytest.raises(NobodyWaits):
        HttpJson(url, timeout=60).get("/", caller=caller)
    assert heard == []


def test_a_pause_ends_when_the_caller_leaves():
    caller = Caller()
    threading.Timer(0.1, caller.leave).start()
    began = time.monotonic()
    with pytest.raises(NobodyWaits):
        caller.pause(60)
    assert time.monotonic() - began < LONG


def test_what_is_no_200_is_a_refusal():
    def busy(connection, number, over):
        hear(connection)
        connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")

    with speaking(busy) as url, pytest.raises(Refused, match="HTTP 503: busy"):
        HttpJson(url, timeout=10).get("/")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_over_tls_a_key_goes_along_and_a_stranger_is_not_believed(tmp_path, monkeypatch):
    words = (
        "req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2"
    )
    subprocess.run(
        ["openssl", *words.split(), "-keyout", tmp_path / "key", "-out", tmp_path / "crt"],
        check=True,
        capture_output=True,
    )
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    heard = []

    def script(connection, number, over):
        with ours.wrap_socket(connection, server_side=True) as wrapped:
            while asked := hear(wrapped):
                heard.append(asked)
                wrapped.sendall(WHOLE)

    with speaking(script) as url:
        http = HttpJson(
            url.replace("http://127.0.0.1", "https://localhost"), 10, key=Key(name="K", secret="k1")
        )
        monkeypatch.setattr(wire, "_context", ssl.create_default_context)
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            http.get("/")
        monkeypatch.setattr(wire, "_context", lambda: ssl.create_default_context(cafile=tmp_path / "crt"))
        assert [http.post("/a", {"x": "y" * 2**20}), http.get("/b")] == [{"said": 1}] * 2
    assert [b"Bearer k1" in one for one in heard] == [True, True] and len(heard[0]) > 2**20
