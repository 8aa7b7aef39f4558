"""A server that fails by a plan, in a process of its own: a judge's, or a teacher's."""

import hashlib
import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context

from tests.system.faults.plan import Plan, dawdle

HANGS = 5.0
"""Seconds for which a request that hangs is not answered: longer than its client waits."""


@contextmanager
def faulty_server(script, seed, log, **shares):
    """The address of a server whose replies `script(body)` are the text of a turn.

    Kinds: refuse (400, which is final), busy (503), drop (the connection ends), garbage (no JSON), cut (less
    than was promised), hang, late. A request that is sent again draws anew.
    """
    spawned = get_context("fork")
    told, tell = spawned.Pipe(duplex=False)
    process = spawned.Process(target=_serve, args=(script, Plan(seed, log, **shares), tell), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{told.recv()}"
    finally:
        process.kill()
        process.join()


def _serve(script, plan, tell):
    tries, lock = Counter(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._reply(200, json.dumps({"data": [{"id": "tiny"}]}).encode())

        def do_POST(self):
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            body = json.loads(asked)
            with lock:
                tries[asked] += 1
                attempt = tries[asked]
            self._answer(body, plan.strike("server", body["seed"], _name(asked), attempt))

        def _answer(self, body, kind):
            if kind in ("refuse", "busy"):
                return self._reply({"refuse": 400, "busy": 503}[kind], b'{"error": "the plan"}')
            if kind == "late":
                dawdle()
            if kind == "hang":
                time.sleep(HANGS)
            if kind in ("drop", "hang"):
                self.close_connection = True
                return None
            if kind == "garbage":
                return self._reply(200, b"<html>the plan</html>")
            choice = {"message": {"content": script(body)}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1000, "completion_tokens": 10}
            return self._reply(200, json.dumps({"choices": [choice], "usage": usage}).encode(), kind == "cut")

        def _reply(self, status, data, cut=False):
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = cut

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    tell.send(server.server_port)
    server.serve_forever()


def _name(asked):
    """A name for what was asked, the same each time it is asked again."""
    return hashlib.blake2b(asked, digest_size=8).hexdigest()
