"""Any OpenAI-compatible endpoint as an engine: teachers, judges, models served elsewhere. Text in, text out.

It keeps no token ids, so its trajectories can be read, scored and taught from, but carry no log-probs of the
policy. Requests run in threads; a busy or failing server is asked again with growing pauses, then an
EngineFault is raised. Every further try is counted by the meter, for it may be paid; none is made once nobody
waits for the turn.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.engines.caller import Asking, Caller
from eva_lightning.engines.data_url import png_url
from eva_lightning.engines.http_json import HttpJson, Refused, Unreachable
from eva_lightning.engines.keys import Key, address_of, is_here, key_in
from eva_lightning.engines.meter import Meter, Usage, usage_of
from eva_lightning.engines.vllm.server_token import known_token
from eva_lightning.faults import EngineFault, EngineRefusal
from eva_lightning.records import FrameRef, Message, Part
from eva_lightning.video.decoder import Pixels

_WORTH_ANOTHER_TRY = {408, 409, 425, 429, 500, 502, 503, 504}
NAMING = 30.0
"""Seconds for all tries at the names of a server's models: nothing is computed for them."""


class ServerEngine(Engine):
    """Speaks /v1/chat/completions."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        key_variable: str | None = None,
        concurrency: int = 16,
        timeout: float = 600.0,
        retries: int = 4,
        pause: float = 0.5,
        tool_role: Literal["tool", "user"] = "tool",
        reply_mb: int = 64,
    ) -> None:
        """
        Args:
            url: Base address, for example http://localhost:8000 or http://localhost:8000/v1.
            model: Name of the served model; None asks the server for its first one.
            key_variable: Name of the environment variable that holds the key, for example OPENAI_API_KEY; to
                another machine it is sent over https:// alone, unless EVA_KEY_OVER_HTTP=1. Where there is
                none a server on this machine is shown the token of `eva serve`, and others nothing.
            concurrency: Requests under way at once.
            timeout: Seconds to wait for one reply, from connecting to its last byte.
            retries: Further tries after a connection error or a busy server.
            pause: Seconds before the first retry; doubles with each one.
            tool_role: Role of tool messages; servers that want a matching tool_call_id take "user".
            reply_mb: Megabytes of the longest reply that is read.
        """
        base = url.rstrip("/")
        self.url = base if base.endswith("/v1") else f"{base}/v1"
        key = key_in(key_variable) or _token_of_a_neighbour(self.url)
        self._http = HttpJson(self.url, timeout, key=key, most_bytes=reply_mb * 2**20)
        self.meter: Meter = Meter()
        self.model = model
        self.retries = retries
        self.pause = pause
        self.tool_role = tool_role
        self._asking = Asking(concurrency, "server-engine")

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        return await self._asking.hear(partial(self._write, context, sampling))

    async def post(self, path: str, body: Any) -> Any:
        """The reply to another kind of question, asked as patiently: JSON, or an Upload."""
        return await self._asking.hear(partial(self._ask, path, body))

    def model_name(self) -> str:
        if self.model is None:
            self.model = self._first_model(Caller())
        return self.model

    def close(self) -> None:
        self._asking.close()

    def _write(self, context: Context, sampling: Sampling, caller: Caller) -> Utterance:
        if self.model is None:
            self.model = self._first_model(caller)
        began = time.perf_counter()
        reply = self._ask(
            "/chat/completions",
            {
                "model": self.model,
                "messages": [self._message(message, context.pixels) for message in context.messages],
                "temperature": sampling.temperature,
                "max_tokens": sampling.max_tokens,
                "seed": sampling.seed % 2**31,
            },
            caller,
        )
        self.meter.add(usage_of(reply, len(context.frames), time.perf_counter() - began))
        try:
            choice = reply["choices"][0]
            text, finish = choice["message"]["content"] or "", choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            text = None
        if not isinstance(text, str):
            raise EngineFault(f"{self.url} sent no message: {json.dumps(reply)[:200]}")
        whole = text.encode(errors="replace").decode()  # half a character could be written to no file
        return Utterance(text=whole, cut=finish == "length")

    def _message(self, message: Message, pixels: Callable[[FrameRef], Pixels]) -> dict[str, Any]:
        role = self.tool_role if message.role == "tool" else message.role
        if not message.frames:
            return {"role": role, "content": message.text}
        return {"role": role, "content": [_content(part, pixels) for part in message.parts]}

    def _first_model(self, caller: Caller) -> str:
        reply = self._ask("/models", None, caller, within=NAMING)
        try:
            return str(reply["data"][0]["id"])
        except (KeyError, IndexError, TypeError):
            raise EngineFault(f"{self.url}/models lists no model; name one with `model`") from None

    def _ask(self, path: str, body: Any, caller: Caller, within: float = float("inf")) -> Any:
        """One request, with retries, `within` seconds for all of them. A refusal (4xx) is final."""
        problem, tries, until = "", 0, time.monotonic() + within
        while tries <= self.retries:
            if tries:
                pause = self.pause * 2 ** (tries - 1) * random.uniform(0.8, 1.2)
                if time.monotonic() + pause >= until:
                    break
                caller.pause(pause)
                self.meter.add(Usage(retries=1))
            tries += 1
            try:
                return self._once(path, body, min(self._http.timeout, until - time.monotonic()), caller)
            except Refused as refusal:
                problem = str(refusal)
                self.meter.add(Usage(failures={f"HTTP {refusal.status}": 1}))
                if refusal.status not in _WORTH_ANOTHER_TRY:
                    raise EngineRefusal(f"{self.url}{path} refused: {problem}") from None
            except Unreachable as silence:
                problem = str(silence)
                self.meter.add(Usage(failures={problem.partition(":")[0]: 1}))
        raise EngineFault(f"{self.url}{path} did not answer in {tries} tries; last: {problem}")

    def _once(self, path: str, body: Any, seconds: float, caller: Caller) -> Any:
        if body is None:
            return self._http.get(path, seconds, caller=caller)
        return self._http.post(path, body, seconds, caller=caller)


def _token_of_a_neighbour(url: str) -> Key | None:
    """A server on this machine may be one of ours."""
    return known_token() if is_here(address_of(url).hostname or "") else None


def _content(part: Part, pixels: Callable[[FrameRef], Pixels]) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": png_url(pixels(part))}}
