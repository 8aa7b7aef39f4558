"""The meter of a server: requests, tokens, pictures, seconds, and what went wrong, added up as replies come.

Prices and files are elsewhere.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What some requests took."""

    requests: int = 0
    """Requests that were answered with a turn."""
    retries: int = 0
    """Requests that were made again, because the one before failed."""
    prompt_tokens: int = 0
    """Tokens read, frames included, as the server counts them; a conversation is read again every turn."""
    cached_tokens: int = 0
    """Those of them that the server still had in its cache."""
    written_tokens: int = 0
    """Tokens written."""
    images: int = 0
    """Frames sent, counted each time."""
    seconds: float = 0.0
    """From asking to the reply, further tries included, summed over requests."""
    unmetered: int = 0
    """Answered requests of which the server did not say the tokens."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Requests that failed, by cause: {"HTTP 503": 2}."""

    def __add__(self, other: Usage) -> Usage:
        added: dict[str, Any] = {
            spec.name: getattr(self, spec.name) + getattr(other, spec.name)
            for spec in fields(self)
            if spec.name != "failures"
        }
        return Usage(**added, failures=dict(Counter(self.failures) + Counter(other.failures)))


class Meter:
    """Adds up usage; may be used from many threads."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.on_change: Callable[[], None] = lambda: None
        """Called after every change, one call at a time."""
        self._lock = threading.Lock()

    def add(self, usage: Usage) -> None:
        with self._lock:
            self.usage += usage
            self.on_change()


def usage_of(reply: Any, images: int, seconds: float) -> Usage:
    """What one reply of /v1/chat/completions took, by its own account."""
    said = reply.get("usage") if isinstance(reply, dict) else None
    if not isinstance(said, dict) or not isinstance(said.get("prompt_tokens"), int):
        return Usage(requests=1, images=images, seconds=seconds, unmetered=1)
    details = said.get("prompt_tokens_details")
    return Usage(
        requests=1,
        prompt_tokens=said["prompt_tokens"],
        cached_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else 0,
        written_tokens=_count(said.get("completion_tokens")),
        images=images,
        seconds=seconds,
    )


def _count(value: Any) -> int:
    """What servers that do not count say is 0: null, or nothing, or words."""
    return value if isinstance(value, int) else 0
