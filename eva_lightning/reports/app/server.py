"""The app over HTTP: a page, videos, questions, events; to this machine alone unless its user says otherwise.

One question is answered at a time. Where other machines can come in, everything lies below a secret part of
the address that was printed to the terminal, and whoever does not know it is told that there is nothing.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from eva_lightning.agent.rollout import threads_for
from eva_lightning.agent.worlds.base import World
from eva_lightning.engines.background import SideBySide
from eva_lightning.engines.keys import is_here
from eva_lightning.faults import UsageError
from eva_lightning.reports.app.asking import Asking, Speaker
from eva_lightning.reports.app.page import build_page
from eva_lightning.reports.app.uploads import Refused, Uploads, UploadSettings

LONGEST_QUESTION = 20_000
"""Bytes of a request that asks."""
HEARTBEAT = 10.0
"""Seconds after which somebody who watches is told that nothing is new; so it is noticed when they leave."""


class AppServer(ThreadingHTTPServer):
    """Takes videos and questions, and tells how the answers come about."""

    daemon_threads = True

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """
        Args:
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as problem:
            raise UsageError(
                f"{host} port {port}: {problem}; name another --port, or none for a free one"
            ) from None
        self.host = host
        self.open_door = not is_here(host)
        self.base = f"/{secrets.token_urlsafe(24)}/" if self.open_door else "/"
        self.latest: Asking | None = None
        self._asked = 0
        self._lock = Lock()

    def furnish(
        self, speakers: list[Speaker], pictures: World, uploads: UploadSettings, seed: int = 0
    ) -> None:
        """Who answers and what is taken: known only when the models are loaded, after the port is taken."""
        self.speakers, self.pictures, self.seed = speakers, pictures, seed
        self.uploads = Uploads(uploads, pictures.describe)
        self.loop = SideBySide(threads_for(len(speakers)))

    def leave(self) -> None:
        """End what is under way and delete what was sent."""
        self.loop.close()
        self.uploads.close()

    @property
    def url(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.server_port}{self.base}"

    def ask(self, number: object, question: object) -> Asking:
        """Begin to answer; Refused while another question is under way."""
        if not isinstance(question, str) or not question.strip():
            raise Refused(400, "the question is empty; ask something about the video")
        with self._lock:
            video = self.uploads.find(number)
            if self.latest is not None and not self.latest.done:
                raise Refused(409, "another question is being answered; wait for it, or stop it")
            self._asked += 1
            self.uploads.thin_out(video.number)
            self.latest = Asking(
                self._asked, video, question.strip(), self.speakers, self.pictures, self.seed
            )
            self.latest.begin(self.loop)
            return self.latest

    def run(self, number: object) -> Asking:
        """The question of that number, if it is the latest one."""
        if self.latest is None or str(self.latest.number) != str(number):
            raise Refused(404, "that question is not here any more; ask it again")
        return self.latest

    def facts(self) -> dict[str, Any]:
        """What the page begins with."""
        latest = self.latest
        known = {"names": [one.name for one in self.speakers], "most": self.uploads.settings.most}
        return known | ({} if latest is None else {"run": latest.number})

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves in mid-sentence is no news; anything else is a bug and is printed."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: AppServer
    timeout = 60

    def do_GET(self) -> None:
        self._answer({"": self._page, "events": self._events})

    def do_PUT(self) -> None:
        self._answer({"videos": self._take})

    def do_POST(self) -> None:
        self._answer({"ask": self._ask, "stop": self._stop})

    def _answer(self, known: dict[str, Callable[[SplitResult], None]]) -> None:
        """Hand the request to whom it is for, if it comes from our own page; a refusal is one line."""
        try:
            asked = urlsplit(self.path)
        except ValueError:
            asked = SplitResult("", "", "", "", "")
        name = asked.path.removeprefix(self.server.base) if asked.path.startswith(self.server.base) else None
        if name not in known or not self._at_home():
            self._refuse(Refused(404, "there is nothing at this address"))
            return
        try:
            known[name](asked)
        except Refused as problem:
            self._refuse(problem)

    def _at_home(self) -> bool:
        """Whether it is our page that asks.

        Another site may point its own name at 127.0.0.1: Host then says so. Or send a request from its own
        page: Origin says so. Where the address is a secret, only the latter is left to check.
        """
        host = self.headers.get("Host", "")
        try:
            here = self.server.open_door or is_here(urlsplit(f"//{host}").hostname or "")
        except ValueError:
            return False
        origin = self.headers.get("Origin")
        return here and (self.command == "GET" or origin in (None, f"http://{host}"))

    def _page(self, asked: SplitResult) -> None:
        text = build_page(self.server.facts())
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", text.encode())

    def _take(self, asked: SplitResult) -> None:
        (name,) = parse_qs(asked.query).get("name", ["video"])[:1]
        video = self.server.uploads.take(name, self._length(), self.rfile)  # type: ignore[arg-type]
        latest = self.server.latest
        self.server.uploads.thin_out(video.number, *([] if latest is None else [latest.video.number]))
        facts = video.facts
        self._say(
            {
                "video": video.number,
                "name": video.name,
                "seconds": facts.duration,
                "size": [facts.width, facts.height],
            }
        )

    def _ask(self, asked: SplitResult) -> None:
        words = self._words()
        self._say({"run": self.server.ask(words.get("video"), words.get("question")).number})

    def _stop(self, asked: SplitResult) -> None:
        self.server.run(self._words().get("run")).stop(self.server.loop)
        self._say({})

    def _events(self, asked: SplitResult) -> None:
        """The question's state whenever it is another one, until it is answered."""
        run = self.server.run(parse_qs(asked.query).get("run", [""])[0])
        self.send_response(HTTPStatus.OK)
        self._head("text/event-stream")
        self.end_headers()
        version, done = -1, False
        while not done:
            now = run.wait(version, HEARTBEAT)
            if now == version:
                self.wfile.write(b": nothing new\n\n")
            else:
                shown, version = run.shown(), now
                done = shown["done"]
                self.wfile.write(b"data: " + _json(shown) + b"\n\n")
            self.wfile.flush()

    def _length(self) -> int:
        try:
            return int(self.headers["Content-Length"])
        except (TypeError, ValueError):
            raise Refused(411, "say how long it is: a request without Content-Length is not taken") from None

    def _words(self) -> dict[str, Any]:
        """The JSON object of a request."""
        length = self._length()
        if not 0 <= length <= LONGEST_QUESTION:
            raise Refused(413, f"a question has {LONGEST_QUESTION} bytes at most; ask a shorter one")
        try:
            words = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError):
            words = None
        if not isinstance(words, dict):
            raise Refused(400, "want a JSON object")
        return words

    def _say(self, words: dict[str, Any], status: int = HTTPStatus.OK) -> None:
        self._send(status, "application/json", _json(words))

    def _refuse(self, problem: Refused) -> None:
        self._say({"problem": str(problem)}, problem.status)
        self.wfile.flush()
        self.close_connection = True
        # A browser reads no answer before it has sent: what is left of a video is read and dropped.
        length = self.headers.get("Content-Length", "")
        left = min(int(length) if length.isdigit() else 0, self.server.uploads.settings.most)
        self.connection.settimeout(1)
        while left > 0 and (dropped := self.rfile.read1(min(left, 1 << 16))):
            left -= len(dropped)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self._head(kind)
        self.end_headers()
        self.wfile.write(body)

    def _head(self, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")  # the address may be a secret
        self.send_header("X-Frame-Options", "DENY")

    def log_message(self, format: str, *args: object) -> None:
        """The terminal is for the address, not for requests."""


def _json(words: dict[str, Any]) -> bytes:
    return json.dumps(words, allow_nan=False, separators=(",", ":")).encode()
