"""Keys of servers: where they come from and where they may go. What a server does with one is its business.

A key is named by the environment variable that holds it: no config, settings file, checkpoint or record ever
holds one. An address that holds a password is refused, and no message quotes it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from eva_lightning.faults import UsageError

OPENLY = "EVA_KEY_OVER_HTTP"
"""Set to 1 it lets keys travel to other machines over http://, where whoever is on the way can read them."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """What a server wants to be shown."""

    name: str
    """Where it is from, for messages."""
    secret: str = field(repr=False)
    """The key itself."""

    def may_go_to(self, address: SplitResult) -> bool:
        """Whether nobody on the way can read it, or the user wants it sent all the same."""
        return address.scheme == "https" or is_here(address.hostname or "") or os.environ.get(OPENLY) == "1"

    @property
    def kept_back(self) -> str:
        """Why a server may have refused: it was not shown the key."""
        return (
            f"{self.name} was not sent, for others can read http:// on the way: give an https:// address, or "
            f"set {OPENLY}=1 within a network you trust"
        )


def key_in(variable: str | None) -> Key | None:
    """The key that an environment variable holds; None if there is none."""
    secret = os.environ.get(variable, "").strip() if variable else ""
    if not secret:
        return None
    if not (secret.isascii() and secret.isprintable()):
        raise UsageError(f"{variable} holds characters that no key has; set it anew")
    return Key(name=str(variable), secret=secret)


def is_here(host: str) -> bool:
    """Whether a name means this machine.

    >>> is_here("localhost"), is_here("127.0.0.2"), is_here("::1"), is_here("gpu-1"), is_here("127.evil.org")
    (True, True, True, False, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def address_of(url: str) -> SplitResult:
    """The parts of the address of a server; UsageError if it is none, or holds a password."""
    try:
        parts = urlsplit(url.strip().rstrip("/"))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if "@" in url or "?" in url or "#" in url:
        raise UsageError(
            f"{unquoted(url)!r}: an address holds no user, password or key, for it is written to many "
            "places; give http(s)://host:port, and a key in the environment"
        )
    if not usable:
        raise UsageError(f"{url!r} is no address of a server; want something like http://localhost:8000")
    return parts


def unquoted(url: str) -> str:
    """An address as it may be written down.

    >>> unquoted("https://me:pass/word@host:8000/v1?key=1"), unquoted("http://host:8000/v1")
    ('https://***@host:8000/v1?***', 'http://host:8000/v1')
    """
    start, mark, rest = url.rpartition("@")
    scheme = start.partition("://")[0] + "://" if "://" in start else ""
    shown = f"{scheme}***@{rest}" if mark else rest
    for mark in ("?", "#"):
        head, found, _ = shown.partition(mark)
        shown = f"{head}{mark}***" if found else shown
    return shown
