"""One page to one machine."""

import urllib.error
import urllib.request
from threading import Thread

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.reports.viewer.serve import PageServer


@pytest.fixture
def server():
    with PageServer() as server:
        server.page = "<p>größer</p>".encode()
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def status(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as problem:
        return problem.code


def test_the_page_and_nothing_else_is_served(server):
    assert server.url == f"http://127.0.0.1:{server.server_port}/"
    with urllib.request.urlopen(server.url, timeout=5) as answer:
        assert answer.read().decode() == "<p>größer</p>"
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    wrong = ["index.html", "../etc/passwd", "?x", "results.jsonl"]
    assert [status(server.url + path) for path in wrong] == [404] * 4


def test_it_listens_on_this_machine_and_to_its_own_name_only(server):
    assert server.server_address[0] == "127.0.0.1"
    port = server.server_port
    assert [status(server.url, Host=name) for name in (f"localhost:{port}", "127.0.0.1")] == [200, 200]
    assert status(server.url, Host=f"evil.example:{port}") == 404


def test_a_port_that_is_taken_or_no_port_is_refused(server):
    for port in (server.server_port, 70000):
        with pytest.raises(UsageError, match=f"port {port}: .*another --port"):
            PageServer(port)
