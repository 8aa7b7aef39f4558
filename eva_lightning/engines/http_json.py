"""JSON over HTTP to one address: connections are kept, and what goes wrong has two names.

`Refused`: the server answered, and not with 200. `Unreachable`: it did not answer, or not in time, or with
too much. A question has one deadline for everything from the connection to the last byte of the reply. No
retries here: what is worth another try depends on what was asked.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from eva_lightning.engines.caller import Caller, NobodyWaits
from eva_lightning.engines.keys import Key, address_of
from eva_lightning.engines.wire import Connection

MOST_BYTES = 64 * 2**20
"""A turn with all its ids and log-probs is well below a tenth of this."""


class Refused(Exception):
    """The server answered, but not with what was asked for."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"HTTP {status}: {said}")
        self.status = status


class Unreachable(Exception):
    """No answer, or half of one."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A body that is no JSON."""

    kind: str
    """Its media type, as a header says it."""
    data: bytes = field(repr=False)
    """What is sent."""


class HttpJson:
    """One server; may be used from many threads, each of which keeps a connection."""

    def __init__(
        self,
        url: str,
        timeout: float,
        *,
        key: Key | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """
        Args:
            url: Base address.
            timeout: Seconds for one whole reply, connecting and sending included.
            key: Shown to the server with every question, unless others could read it on the way.
            most_bytes: A longer reply is none.
        """
        parts = address_of(url)
        self.url = url.strip().rstrip("/")
        self.host = str(parts.hostname)
        self.timeout = timeout
        self.most_bytes = most_bytes
        self._secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._prefix = parts.path
        self._key = key
        self._headers = {"Content-Type": "application/json"}
        if key is not None and key.may_go_to(parts):
            self._headers["Authorization"] = f"Bearer {key.secret}"
        self._mine = threading.local()

    def get(self, path: str, timeout: float | None = None, *, caller: Caller | None = None) -> Any:
        """The reply to a question, which does no harm if it is heard twice."""
        return self._ask("GET", path, None, timeout, caller, again=True)

    def post(
        self,
        path: str,
        body: Any = None,
        timeout: float | None = None,
        *,
        caller: Caller | None = None,
        again: bool = False,
    ) -> Any:
        """The reply to a request.

        Args:
            path: Behind the base address.
            body: Sent as JSON, if it is no Upload.
            timeout: Seconds for the whole reply; None takes the usual ones.
            caller: Who waits for it; NobodyWaits is raised when he leaves.
            again: Whether it does no harm if the server hears it twice. If so it is sent once more where a
                kept connection turns out to be closed; else that is Unreachable, and it may have been heard.
        """
        return self._ask("POST", path, body, timeout, caller, again=again)

    def _ask(
        self, method: str, path: str, body: Any, timeout: float | None, caller: Caller | None, *, again: bool
    ) -> Any:
        data, headers = self._sent(body)
        seconds = timeout or self.timeout
        until, caller = time.monotonic() + seconds, caller or Caller()
        caller.check()
        kept = self._kept()
        try:
            if kept is not None:
                try:
                    return self._exchange(kept, method, path, data, headers, until, caller)
                except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                    kept.close()
                    if not again or caller.gone:
                        raise
            fresh = Connection(self.host, self._port, secure=self._secure)
            self._mine.connection = fresh
            return self._exchange(fresh, method, path, data, headers, until, caller)
        except BaseException as problem:
            if not isinstance(problem, Refused):
                self._forget()
            if caller.gone:
                raise NobodyWaits from None
            if isinstance(problem, TimeoutError):
                raise Unreachable(f"TimeoutError: timed out: no whole reply in {seconds:g} s") from None
            if isinstance(problem, (OSError, http.client.HTTPException)):
                raise Unreachable(f"{type(problem).__name__}: {problem}") from None
            raise

    def _kept(self) -> Connection | None:
        """This thread's connection, if the server still listens to it: idle ones are closed by servers."""
        kept: Connection | None = getattr(self._mine, "connection", None)
        wire: Any = None if kept is None else kept.sock
        if wire is None or wire.stale():
            self._forget()
            return None
        return kept

    def _forget(self) -> None:
        kept: Connection | None = getattr(self._mine, "connection", None)
        if kept is not None:
            kept.close()
        self._mine.connection = None

    def _sent(self, body: Any) -> tuple[bytes | None, dict[str, str]]:
        """The bytes of a body, and the headers that go with them."""
        if isinstance(body, Upload):
            return body.data, self._headers | {"Content-Type": body.kind}
        return None if body is None else json.dumps(body).encode(), self._headers

    def _exchange(
        self,
        connection: Connection,
        method: str,
        path: str,
        data: bytes | None,
        headers: dict[str, str],
        until: float,
        caller: Caller,
    ) -> Any:
        wire = connection.open(until, caller)
        with caller.waiting_on(wire.socket):
            connection.request(method, self._prefix + path, body=data, headers=headers)
            reply = connection.getresponse()
            text = self._body(reply).decode(errors="replace")
        if reply.status != 200:
            raise Refused(reply.status, self._without_key(text)[:300] + self._why(reply.status))
        try:
            return json.loads(text) if text else None
        except (ValueError, RecursionError):
            raise Unreachable(f"it sent no JSON: {self._without_key(text)[:200]}") from None

    def _body(self, reply: http.client.HTTPResponse) -> bytes:
        """All of it, and never more than is allowed."""
        body: bytes | None
        if reply.length is None:
            body = reply.read(self.most_bytes + 1)
        elif reply.length > self.most_bytes:
            body = None
        else:
            body = reply.read()  # with a limit it would take half a body for the whole
        if body is None or len(body) > self.most_bytes:
            raise Unreachable(f"it sent more than {self.most_bytes:,} bytes")
        return body

    def _without_key(self, text: str) -> str:
        """What a server said may be written down; some quote the key that they were shown."""
        return text if self._key is None else text.replace(self._key.secret, "***")

    def _why(self, status: int) -> str:
        kept_back = self._key is not None and "Authorization" not in self._headers
        return f" ({self._key.kept_back})" if self._key and kept_back and status in (401, 403) else ""
