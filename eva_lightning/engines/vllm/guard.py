"""The guard in front of a vLLM server: every path but /health wants the token to be shown.

vLLM's own --api-key guards what writes (/v1, /v2, /inference) and leaves open what replaces weights, calls
methods of the workers or pauses the server. vLLM imports this file in the process that listens; it knows
nothing of vLLM.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

VARIABLE = "EVA_SERVER_TOKEN"
"""The environment variable that holds the token, of servers and trainers alike."""
OPEN = ("/health",)
"""Says that the server is there, and nothing else."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """A layer of the server (ASGI) that lets through who shows the token."""

    def __init__(self, app: App) -> None:
        secret = os.environ.get(VARIABLE, "")
        if not secret:
            raise RuntimeError(f"{VARIABLE} is not set: a guard without a secret would let everybody through")
        self._app = app
        self._shown = f"Bearer {secret}".encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in OPEN or self._may_pass(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            said = b'{"error": "show the token that this server was started with, EVA_SERVER_TOKEN"}'
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": said})

    def _may_pass(self, scope: Message) -> bool:
        shown = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(shown) == 1 and hmac.compare_digest(shown[0], self._shown)
