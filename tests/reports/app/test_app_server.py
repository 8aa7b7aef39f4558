"""The app over HTTP: what is taken, what is refused in one line, what arrives while it is being made."""

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.cli import main
from eva_lightning.commands.app import gathered
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.faults import EngineFault, UsageError
from eva_lightning.reports.app.asking import STOPPED, Speaker
from eva_lightning.reports.app.server import AppServer
from eva_lightning.reports.app.uploads import UploadSettings
from tests.video.footage import write

DIALECT = EvaDialect()
CALL = DIALECT.call("frame_select", start_time=0, end_time=1, nframes=2, resize=0.5)


class Served:
    """A running app, and what its authors wait for."""

    def __init__(self, server):
        self.server, self.go_on = server, Event()
        self.said = [f"Plan: look.\n{CALL}", DIALECT.reply("blue")]

    def author(self, context):
        turn = sum(message.role == "assistant" for message in context.messages)
        if turn and not self.go_on.wait(10):
            raise EngineFault("nobody let it go on")
        said = self.said[turn]
        if isinstance(said, Exception):
            raise said
        return said

    def request(self, method, path, body=None, **headers):
        """Status and object of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        body = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        told = json.loads(text) if answer.headers["Content-Type"] == "application/json" else text.decode()
        connection.close()
        return answer.status, told

    def events(self, run):
        """The states of a question, as they arrive."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        connection.request("GET", f"{self.server.base}events?run={run}")
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
        for line in answer:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))
        connection.close()


class Writing(ScriptedEngine):
    """A script that may wait without holding up the loop."""

    async def write(self, context, sampling):
        return await asyncio.to_thread(lambda: asyncio.run(super(Writing, self).write(context, sampling)))


@contextmanager
def serving(host="127.0.0.1", speakers=1, **uploads):
    with AppServer(host) as server:
        served = Served(server)
        agents = [AgentConfig(dialect=DIALECT).agent(Writing(served.author)) for _ in range(speakers)]
        named = [Speaker(name=f"m{i}", agent=agent) for i, agent in enumerate(agents)]
        world = VideoWorld()
        server.furnish(named, world, UploadSettings(**{"megabytes": 1.0, "kept": 2} | uploads))
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield served
        finally:
            served.go_on.set()
            server.shutdown()
            thread.join()
            server.leave()
            for one in (*(agent.world for agent in agents), world):
                one.close()


def wait_for(there):
    for _ in range(200):
        if there():
            return
        time.sleep(0.05)
    raise AssertionError("ten seconds were not enough")


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    return write(tmp_path_factory.mktemp("footage") / "a.mp4").path.read_bytes()


@pytest.fixture
def app(tmp_path):
    with serving(folder=str(tmp_path)) as served:
        yield served


def test_turns_calls_and_frames_arrive_before_the_answer(app, footage):
    status, sent = app.request("PUT", "/videos?name=a.mp4", footage)
    assert (status, sent["video"], sent["name"]) == (200, 1, "a.mp4")
    assert app.request("POST", "/ask", {"video": 1, "question": " Which colour? "}) == (200, {"run": 1})
    states = app.events(1)
    half = next(one for one in states if one["sides"][0]["turns"] and one["sides"][0]["turns"][0]["world"])
    assert not half["done"] and half["sides"][0]["stop"] == "running" and half["sides"][0]["answer"] is None
    assert half["task"]["question"] == "Which colour?" and half["task"]["clips"][0]["file"] == "a.mp4"
    keys = [part["picture"] for part in half["sides"][0]["turns"][0]["world"] if isinstance(part, dict)]
    assert len(keys) == 2 and all(
        half["shelves"][0]["pictures"][key].startswith("data:image") for key in keys
    )
    app.go_on.set()
    *_, last = states
    assert (last["done"], last["sides"][0]["answer"], last["sides"][0]["stop"]) == (True, "blue", "answered")
    assert last["problems"] == [None]


def test_one_question_at_a_time_until_it_is_stopped(app, footage):
    app.request("PUT", "/videos?name=a.mp4", footage)
    assert app.request("POST", "/ask", {"video": 1, "question": "What?"})[0] == 200
    states = app.events(1)
    next(one for one in states if one["sides"][0]["turns"])
    status, told = app.request("POST", "/ask", {"video": 1, "question": "What else?"})
    assert (status, told["problem"]) == (409, "another question is being answered; wait for it, or stop it")
    assert app.request("POST", "/stop", {"run": 1}) == (200, {})
    *_, last = states
    assert last["done"] and last["problems"] == [STOPPED] and len(last["sides"][0]["turns"]) == 1
    app.go_on.set()
    assert app.request("POST", "/ask", {"video": 1, "question": "What else?"}) == (200, {"run": 2})
    assert app.request("GET", "/events?run=1")[1] == {
        "problem": "that question is not here any more; ask it again"
    }


def test_what_fails_is_a_line_and_a_bug_is_told_to_the_terminal(footage, capsys, tmp_path):
    with serving(speakers=2, folder=str(tmp_path)) as app:
        app.go_on.set()
        app.request("PUT", "/videos?name=a.mp4", footage)
        app.said[1] = EngineFault("http://gpu-1: is out of reach")
        app.request("POST", "/ask", {"video": 1, "question": "What?"})
        *_, last = app.events(1)
        assert [side["stop"] for side in last["sides"]] == ["fault", "fault"]
        assert last["sides"][1]["faults"] == ["http://gpu-1: is out of reach"]
        app.said[1] = ZeroDivisionError("by nothing")
        app.request("POST", "/ask", {"video": 1, "question": "What?"})
        *_, last = app.events(2)
        assert all("a bug ended it" in one and "by nothing" in one for one in last["problems"])
        assert "ZeroDivisionError: by nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "status", "complaint"),
    [
        ("notes.mp4", b"this is a text\n" * 500, 400, "notes.mp4: "),
        ("empty.mp4", b"", 400, "empty.mp4: is empty; send a video"),
        ("large.mp4", bytes(1_000_001), 413, "large.mp4: 1 MB are more than the 1 MB that are taken; start"),
        ("..%2F..%2Fetc%2Fpasswd", b"root:x:0:0" * 100, 400, "passwd: "),
        ("%3Cb%3E%0D%0AX-Evil%3A%201.mp4", b"x" * 100, 400, "<b>X-Evil: 1.mp4: "),
        ("list.m3u8", b"#EXTM3U\nfile:///etc/passwd\n", 400, "list.m3u8: "),
    ],
)
def test_what_is_not_taken_is_one_line_and_leaves_nothing(name, content, status, complaint, app, tmp_path):
    got, told = app.request("PUT", f"/videos?name={name}", content)
    assert got == status and told["problem"].startswith(complaint)
    assert "\n" not in told["problem"] and str(tmp_path) not in told["problem"]
    assert list(tmp_path.rglob("*.video")) == []
    assert app.request("POST", "/ask", {"video": 1, "question": "What?"})[0] == 404


def test_an_upload_that_breaks_off_leaves_nothing(app, footage, tmp_path):
    with socket.create_connection(("127.0.0.1", app.server.server_port)) as line:
        head = f"PUT /videos?name=a.mp4 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(footage)}\r\n\r\n"
        line.sendall(head.encode() + footage[: len(footage) // 2])
        line.shutdown(socket.SHUT_WR)
        said = line.makefile("rb").read()
    assert b" 400 " in said.splitlines()[0] and b"bytes too early; send it again" in said
    assert list(tmp_path.rglob("*.video")) == []


def test_nobody_who_asks_waits_for_a_video_that_is_still_being_sent(app, footage, tmp_path):
    app.request("PUT", "/videos?name=a.mp4", footage)
    with socket.create_connection(("127.0.0.1", app.server.server_port)) as line:
        head = f"PUT /videos?name=b.mp4 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(footage)}\r\n\r\n"
        line.sendall(head.encode() + footage[:100])
        wait_for(lambda: list(tmp_path.rglob("2.video")))
        assert app.request("POST", "/ask", {"video": 1, "question": "What?"}) == (200, {"run": 1})


def test_the_oldest_videos_go(app, footage, tmp_path):
    for number in (1, 2, 3):
        assert app.request("PUT", "/videos?name=a.mp4", footage)[1]["video"] == number
    assert {path.name for path in tmp_path.rglob("*.video")} == {"2.video", "3.video"}
    status, told = app.request("POST", "/ask", {"video": 1, "question": "What?"})
    assert (status, told["problem"]) == (404, "that video is not here any more; send it again")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/", None, {"Host": "evil.example"}, 404),
        ("GET", "/", None, {"Host": "localhost:1"}, 200),
        ("GET", "/", None, {"Host": "[::1"}, 404),
        ("GET", "/etc/passwd", None, {}, 404),
        ("GET", "//evil.example/", None, {}, 404),
        ("GET", "//[/", None, {}, 404),
        ("POST", "/ask", {"video": 1, "question": "?"}, {"Origin": "http://evil.example"}, 404),
        ("POST", "/ask", {"video": 1, "question": "?"}, {"Origin": "null"}, 404),
        ("PUT", "/videos?name=a", b"x", {"Origin": "http://evil.example"}, 404),
        ("POST", "/ask", b"[1]", {}, 400),
        ("POST", "/ask", b"{", {}, 400),
        ("POST", "/ask", {"video": 1, "question": " "}, {}, 400),
        ("POST", "/ask", {"video": [1], "question": "?"}, {}, 404),
        ("POST", "/ask", {"video": 1, "question": "?" * 30_000}, {}, 413),
        ("POST", "/stop", {"run": 1}, {}, 404),
        ("PUT", "/videos", b"x", {"Content-Length": "a few"}, 411),
        ("PUT", "/ask", b"x", {}, 404),
    ],
)
def test_only_our_own_page_is_answered_and_a_wrong_request_is_one_line(
    method, path, body, headers, status, app
):
    got, told = app.request(method, path, body, **headers)
    assert got == status
    if status != 200:
        assert list(told) == ["problem"] and "\n" not in told["problem"]


def test_other_machines_find_nothing_without_the_secret(footage):
    with serving(host="0.0.0.0") as app:
        secret = urlsplit(app.server.url).path
        assert len(secret) > 30 and secret == app.server.base
        assert app.request("GET", "/", Host="gpu-1:80")[0] == 404
        assert app.request("GET", secret, Host="gpu-1:80")[0] == 200
        assert app.request("PUT", f"{secret}videos?name=a.mp4", footage, Host="gpu-1")[1]["video"] == 1


def test_this_machine_alone_is_the_default():
    with AppServer() as server:
        assert server.server_address[0] == "127.0.0.1" and server.base == "/"
        with pytest.raises(UsageError, match=f"port {server.server_port}: .*another --port"):
            AppServer(port=server.server_port)


def test_a_full_disk_is_one_line(tmp_path):
    """The system's own refusal, by a limit on the size of files, in a process of its own."""
    code = (
        "import io, resource, signal, sys\n"
        "from eva_lightning.reports.app.uploads import Refused, Uploads, UploadSettings\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"uploads = Uploads(UploadSettings(folder={str(tmp_path)!r}), lambda clip: None)\n"
        "try:\n    uploads.take('a.mp4', 100_000, io.BytesIO(bytes(100_000)))\n"
        "except Refused as problem:\n    print(problem.status, problem)\n"
        "uploads.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout.startswith("507 a.mp4: can not be kept in") and "File too large" in done.stdout
    assert done.stdout.count("\n") == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "say who answers: --model FOLDER|HUB_ID or --server URL, two of them at most"),
        (["--model=a", "--model=b", "--model=c"], "two of them at most"),
        (["--model", "/nowhere"], "no folder /nowhere"),
        (["--server", "http://localhost:1", "--port", "70000"], "port 70000"),
        (["--server", "http://localhost:1", "--uploads.kept=0"], "want more than 0, 1 or more"),
        (["--server", "http://localhost:1", "--uploads.folder=/nowhere"], "/nowhere: no videos can be kept"),
        (["--model"], "expected"),
    ],
)
def test_a_mistake_is_one_line_and_a_non_zero_exit(words, complaint, capsys):
    try:
        status = main(["app", *words])
    except SystemExit as exit:
        status = exit.code
    said = capsys.readouterr().err.strip().splitlines()
    assert status != 0 and complaint in said[-1] and "Traceback" not in "".join(said)


def test_models_that_are_named_one_by_one_are_gathered():
    assert gathered(["--model", "a"], "--model") == ["--model", "a"]
    assert gathered(["--model=a", "--model", "b", "--seed", "1"], "--model") == [
        "--seed",
        "1",
        '--model=["a", "b"]',
    ]


def test_a_question_that_nobody_watches_is_answered_all_the_same(app, footage):
    app.go_on.set()
    app.request("PUT", "/videos?name=a.mp4", footage)
    app.request("POST", "/ask", {"video": 1, "question": "What?"})
    wait_for(lambda: app.server.latest.done)
    assert app.server.latest.shown()["sides"][0]["answer"] == "blue"
