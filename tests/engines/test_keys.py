"""Keys go where they are meant to and nowhere else: real servers see what was sent, errors are searched."""

import socket

import pytest

from eva_lightning.cli import main
from eva_lightning.engines import keys
from eva_lightning.engines.http_json import HttpJson, Refused
from eva_lightning.engines.keys import Key, address_of, key_in
from eva_lightning.engines.server_engine import ServerEngine
from eva_lightning.engines.vllm.guard import VARIABLE
from eva_lightning.faults import EngineRefusal, UsageError
from tests.engines.sockets import WHOLE, hear, speaking

SECRET = "sk-very-secret"


def noting(heard, reply=WHOLE):
    def script(connection, number, over):
        while asked := hear(connection):
            heard.append(asked)
            connection.sendall(reply)

    return script


def refusal(text):
    return b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


@pytest.fixture
def elsewhere(monkeypatch):
    """The name of another machine, which is this one."""
    known = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: known(host.replace("gpu-1", "localhost"), *a, **k)
    )
    return lambda url: url.replace("127.0.0.1", "gpu-1")


def test_a_key_stays_here_where_others_could_read_it_on_the_way(elsewhere, monkeypatch):
    heard, key = [], Key(name="MY_KEY", secret=SECRET)
    with speaking(noting(heard)) as url:
        HttpJson(url, 10, key=key).get("/")
        HttpJson(elsewhere(url), 10, key=key).get("/")
        monkeypatch.setenv(keys.OPENLY, "1")
        HttpJson(elsewhere(url), 10, key=key).get("/")
    assert [SECRET.encode() in one for one in heard] == [True, False, True]
    assert key.may_go_to(address_of("https://gpu-1"))


def test_a_server_that_was_not_shown_the_key_says_why(elsewhere):
    with speaking(noting([], refusal(b"who are you?"))) as url:
        http = HttpJson(elsewhere(url), 10, key=Key(name="MY_KEY", secret=SECRET))
        with pytest.raises(Refused, match="who are you.*MY_KEY was not sent.*https://.*EVA_KEY_OVER_HTTP=1"):
            http.get("/")


def test_a_key_that_the_server_quotes_is_not_written_down(monkeypatch):
    monkeypatch.setenv("MY_KEY", f" {SECRET}\n")
    reply = refusal(f"wrong key: {SECRET}".encode())
    with speaking(noting([], reply)) as url, pytest.raises(EngineRefusal) as caught:
        ServerEngine(url, key_variable="MY_KEY").model_name()
    assert "wrong key: ***" in str(caught.value) and SECRET not in str(caught.value)
    assert SECRET not in repr(key_in("MY_KEY"))


def test_a_key_that_can_not_be_sent_is_refused_without_a_word_of_it(monkeypatch):
    monkeypatch.setenv("MY_KEY", f"{SECRET}\nX-Other: 1")
    with pytest.raises(UsageError) as caught:
        key_in("MY_KEY")
    assert SECRET not in str(caught.value) and "MY_KEY" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{SECRET}@localhost:9",
        f"http://me:{SECRET}/@localhost:9",
        f"me:{SECRET}@localhost:9",
        f"http://localhost:9/v1?key={SECRET}",
        f"http://localhost:{SECRET}@9",
    ],
)
def test_an_address_with_a_password_is_refused_before_anything_is_written(url, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.mp4").write_bytes(b"x")
    (tmp_path / "tasks.jsonl").write_text(
        '{"id": "a", "clips": [{"id": "v", "path": "v.mp4"}], "question": "?"}\n'
    )
    before = sorted(tmp_path.rglob("*"))
    assert main(["ask", "v.mp4", "What?", "--server", url]) == 1
    assert main(["collect", "--tasks", "tasks.jsonl", "--out", "made", "--server", url]) == 1
    said = "".join(capfd.readouterr())
    assert SECRET not in said and "holds no user, password or key" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_where_no_key_is_set_a_server_on_this_machine_is_shown_the_token_and_no_other(elsewhere, monkeypatch):
    monkeypatch.setenv(VARIABLE, SECRET)
    monkeypatch.delenv("MY_KEY", raising=False)
    monkeypatch.setenv(keys.OPENLY, "1")
    heard = []
    models = b'{"data": [{"id": "m"}]}'
    with speaking(
        noting(heard, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(models), models))
    ) as url:
        assert ServerEngine(url, key_variable="MY_KEY").model_name() == "m"
        assert ServerEngine(elsewhere(url)).model_name() == "m"
    assert [SECRET.encode() in one for one in heard] == [True, False]
