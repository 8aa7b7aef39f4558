"""Any OpenAI-compatible endpoint as an engine: teachers, judges, models served elsewhere. Text in, text out.

It keeps no token ids, so its trajectories can be read, scored and taught from, but carry no log-probs of the
policy. Requests run in threads; a busy or failing server is asked again with growing pauses, then an
EngineFault is raised.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.engines.data_url import png_url
from eva_lightning.engines.http_json import HttpJson, Refused, Unreachable
from eva_lightning.engines.meter import Meter, Usage, usage_of
from eva_lightning.faults import EngineFault, EngineRefusal
from eva_lightning.records import FrameRef, Message, Part
from eva_lightning.video.decoder import Pixels

_WORTH_ANOTHER_TRY = {408, 409, 425, 429, 500, 502, 503, 504}


class ServerEngine(Engine):
    """Speaks /v1/chat/completions."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key: str = "none",
        concurrency: int = 16,
        timeout: float = 600.0,
        retries: int = 4,
        pause: float = 0.5,
        tool_role: Literal["tool", "user"] = "tool",
    ) -> None:
        """
        Args:
            url: Base address, for example http://localhost:8000 or http://localhost:8000/v1.
            model: Name of the served model; None asks the server for its first one.
            api_key: Sent as a bearer token.
            concurrency: Requests under way at once.
            timeout: Seconds to wait for one reply.
            retries: Further tries after a connection error or a busy server.
            pause: Seconds before the first retry; doubles with each one.
            tool_role: Role of tool messages; servers that want a matching tool_call_id take "user".
        """
        base = url.rstrip("/")
        self.url = base if base.endswith("/v1") else f"{base}/v1"
        self._http = HttpJson(self.url, timeout, {"Authorization": f"Bearer {api_key}"})
        self.meter: Meter = Meter()
        self.model = model
        self.retries = retries
        self.pause = pause
        self.tool_role = tool_role
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="server-engine")

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._write, context, sampling)

    def model_name(self) -> str:
        if self.model is None:
            self.model = self._first_model()
        return self.model

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _write(self, context: Context, sampling: Sampling) -> Utterance:
        model, began = self.model_name(), time.perf_counter()
        reply = self._ask(
            "/chat/completions",
            {
                "model": model,
                "messages": [self._message(message, context.pixels) for message in context.messages],
                "temperature": sampling.temperature,
                "max_tokens": sampling.max_tokens,
                "seed": sampling.seed % 2**31,
            },
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

    def _first_model(self) -> str:
        reply = self._ask("/models", None)
        try:
            return str(reply["data"][0]["id"])
        except (KeyError, IndexError, TypeError):
            raise EngineFault(f"{self.url}/models lists no model; name one with `model`") from None

    def _ask(self, path: str, body: dict[str, Any] | None) -> Any:
        """One request, with retries. A refusal (4xx) is final and quotes the server."""
        problem = ""
        for attempt in range(self.retries + 1):
            if attempt:
                self.meter.add(Usage(retries=1))
                time.sleep(self.pause * 2 ** (attempt - 1) * random.uniform(0.8, 1.2))
            try:
                return self._http.get(path) if body is None else self._http.post(path, body)
            except Refused as refusal:
                problem = str(refusal)
                self.meter.add(Usage(failures={f"HTTP {refusal.status}": 1}))
                if refusal.status not in _WORTH_ANOTHER_TRY:
                    raise EngineRefusal(f"{self.url}{path} refused: {problem}") from None
            except Unreachable as silence:
                problem = str(silence)
                self.meter.add(Usage(failures={problem.partition(":")[0]: 1}))
        raise EngineFault(f"{self.url}{path} did not answer in {self.retries + 1} tries; last: {problem}")


def _content(part: Part, pixels: Callable[[FrameRef], Pixels]) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": png_url(pixels(part))}}
