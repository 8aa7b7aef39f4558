"""A wire to a server: a socket with one deadline over all that is sent and received for one reply.

A socket's own timeout begins anew with every byte that comes. What is spoken over the wire is said by
`http_json`.
"""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import time
from functools import cache
from typing import Any

from eva_lightning.engines.caller import Caller


class Wire:
    """A connected socket, as far as http.client needs one."""

    def __init__(self, host: str, port: int, *, secure: bool, until: float, caller: Caller) -> None:
        """`until` is the second on the monotonic clock at which it must be connected."""
        self.until = until
        self.socket = _connected(host, port, until, caller)
        if secure:
            with caller.waiting_on(self.socket):
                self.socket.settimeout(_left(until))
                self.socket = _context().wrap_socket(self.socket, server_hostname=host)

    def stale(self) -> bool:
        """Whether the other side has hung up, or speaks unasked: nothing is to be said here any more."""
        poll = select.poll()  # select() knows no more than 1,024 open files
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(0))

    # --- what http.client calls

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self.socket.settimeout(_left(self.until))
            rest = rest[self.socket.send(rest) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Received(self, self.socket.makefile("rb", buffering=0)))

    def close(self) -> None:
        self.socket.close()


class _Received(io.RawIOBase):
    """What comes over a wire."""

    def __init__(self, wire: Wire, raw: io.RawIOBase) -> None:
        self._wire, self._raw = wire, raw

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int | None:
        self._wire.socket.settimeout(_left(self._wire.until))
        return self._raw.readinto(room)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Connection(http.client.HTTPConnection):
    """A connection of http.client that goes over a wire."""

    def __init__(self, host: str, port: int, *, secure: bool) -> None:
        super().__init__(host, port)
        self._secure = secure

    def open(self, until: float, caller: Caller) -> Wire:
        """Its wire, connected if it was not; everything until the end of the next reply has so long."""
        wire: Any = self.sock
        if wire is None:
            self.sock = wire = Wire(self.host, self.port, secure=self._secure, until=until, caller=caller)
        wire.until = until
        return wire  # type: ignore[no-any-return]


@cache
def _context() -> ssl.SSLContext:
    """Whom to believe who a server is; reading it takes longer than many a reply."""
    return ssl.create_default_context()


def _connected(host: str, port: int, until: float, caller: Caller) -> socket.socket:
    """A socket to the first address that answers. Only the look-up of the name knows no deadline."""
    problem: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        caller.check()
        made = socket.socket(family, kind, protocol)
        try:
            with caller.waiting_on(made):
                made.settimeout(_left(until))
                made.connect(address)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as refused:
            made.close()
            problem = refused
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise problem


def _left(until: float) -> float:
    """Seconds until then; TimeoutError if there are none."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
