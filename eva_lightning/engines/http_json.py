"""JSON over HTTP to one address: connections are kept, and what goes wrong has two names.

`Refused`: the server answered, and not with 200. `Unreachable`: it did not answer. No retries here: what is
worth another try depends on what was asked.
"""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any
from urllib.parse import urlsplit

from eva_lightning.faults import UsageError


class Refused(Exception):
    """The server answered, but not with what was asked for."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"HTTP {status}: {said[:300]}")
        self.status = status


class Unreachable(Exception):
    """No answer, or half of one."""


class HttpJson:
    """One server; may be used from many threads, each of which keeps a connection."""

    def __init__(self, url: str, timeout: float, headers: dict[str, str] | None = None) -> None:
        parts = urlsplit(url.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url!r} is no address of a server; want something like http://localhost:8000")
        self.url = url.rstrip("/")
        self.host = parts.hostname
        self.timeout = timeout
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._where = parts.netloc
        self._prefix = parts.path
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._mine = threading.local()

    def get(self, path: str, timeout: float | None = None) -> Any:
        return self._ask("GET", path, None, timeout)

    def post(self, path: str, body: Any = None, timeout: float | None = None) -> Any:
        return self._ask("POST", path, body, timeout)

    def _ask(self, method: str, path: str, body: Any, timeout: float | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        kept = getattr(self._mine, "connection", None)
        try:
            if kept is not None:
                try:
                    return self._read(self._send(kept, method, path, data, timeout))
                except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                    pass  # servers close idle connections: once more with a new one
            self._mine.connection = self._kind(self._where, timeout=timeout or self.timeout)
            return self._read(self._send(self._mine.connection, method, path, data, timeout))
        except (OSError, http.client.HTTPException) as problem:
            self._mine.connection = None
            raise Unreachable(f"{type(problem).__name__}: {problem}") from None

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        data: bytes | None,
        timeout: float | None,
    ) -> http.client.HTTPResponse:
        if connection.sock is not None:
            connection.sock.settimeout(timeout or self.timeout)
        connection.request(method, self._prefix + path, body=data, headers=self._headers)
        return connection.getresponse()

    def _read(self, reply: http.client.HTTPResponse) -> Any:
        text = reply.read().decode(errors="replace")
        if reply.status != 200:
            raise Refused(reply.status, text)
        try:
            return json.loads(text) if text else None
        except (ValueError, RecursionError):
            raise Unreachable(f"it sent no JSON: {text[:200]}") from None
