"""One or many vLLM servers as the engine: tokens in, tokens out, images beside them, weights handed over.

A trajectory stays with the server that knows its beginning; a new one goes where least is being written. A
server that does not answer is taken out, its trajectories go on elsewhere (the interruption is noted in
them), and it comes back with the next weights. `eva serve` starts a server with the right words. For other
people's models behind the chat protocol there is server_engine.py.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch.distributed as dist

from eva_lightning.device import own_card
from eva_lightning.engines.base import Context, RefreshedEngine, Sampling, Utterance, Weights
from eva_lightning.engines.caller import Asking, Caller
from eva_lightning.engines.data_url import png_url
from eva_lightning.engines.http_json import HttpJson, Refused, Unreachable
from eva_lightning.engines.keys import unquoted
from eva_lightning.engines.vllm.adapter import (
    FinishedTurn,
    check_version,
    going_on,
    joined,
    sampling_words,
)
from eva_lightning.engines.vllm.over_http import GENERATE, finished_turn, generate_body, is_cut_off
from eva_lightning.engines.vllm.server_token import VARIABLE, known_token
from eva_lightning.engines.vllm.weight_push import Transfer, push, usual_transfer
from eva_lightning.faults import EngineFault, UsageError
from eva_lightning.policy.loading import Policy
from eva_lightning.records import FrameRef

BUSY = {408, 425, 429, 503}
"""The server is well and asks to be asked later; 503 is what a paused or ending one says."""
MOST_KNOWN = 100_000
"""Names of images that are kept of what a server was sent; it forgets its oldest ones, too."""
ENCODED_BYTES = 2**28
"""Encoded frames that are kept for a server which does not know them yet."""


@dataclass(kw_only=True, eq=False)
class _Server:
    """One server, as far as we know."""

    http: HttpJson
    writing: int = 0
    """Turns under way."""
    problem: str | None = None
    """Why it is out; None while it is in."""
    known: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """Names of the images it was sent since its caches were emptied, the one sent last at the end."""

    def knows(self, names: Iterable[str]) -> None:
        """It was sent these; those that it was not sent for longest are given up."""
        for name in names:
            self.known[name] = None
            self.known.move_to_end(name)
        while len(self.known) > MOST_KNOWN:
            self.known.popitem(last=False)


class VLLMServerEngine(RefreshedEngine):
    """Writes with vLLM servers, on this machine or on others."""

    shared = True
    refreshed_in_flight = True

    def __init__(
        self,
        policy: Policy,
        urls: list[str],
        transfer: Transfer | None = None,
        concurrency: int = 64,
        timeout: float = 600.0,
        patience: float = 120.0,
        bucket_mb: int = 256,
        reply_mb: int = 64,
    ) -> None:
        """
        Args:
            policy: The model whose turns they write.
            urls: Addresses of the servers, for example [http://localhost:8000, http://localhost:8001].
            transfer: How weights travel; must be what the servers were started with. nccl wants them on
                other GPUs than the trainer's first one, ipc on the GPU of a trainer that has no other rank.
                None: nccl where the machine has several GPUs, else shared_memory.
            concurrency: Turns under way at once, over all servers.
            timeout: Seconds to wait for one turn.
            patience: Seconds to wait for a busy server, and for the first sign of life of one that starts.
            bucket_mb: Megabytes of weights on the way at once (shared_memory).
            reply_mb: Megabytes of the longest reply that is read.

        The token that `eva serve` wants to be shown is EVA_SERVER_TOKEN, or what it left in the user's file.
        """
        if not urls or len(set(urls)) != len(urls):
            shown = [unquoted(url) for url in urls]
            raise UsageError(f"urls is {shown}: want the address of at least one server, each once")
        self.policy = policy
        self.renderer = policy.renderer
        self.transfer = transfer or usual_transfer()
        _refuse_ipc_of_many(self.transfer)
        self.device = own_card()  # as seen by the thread that trains: a push has threads of its own
        self.patience = patience
        self.bucket_bytes = bucket_mb * 2**20
        token, most = known_token(), reply_mb * 2**20
        self.servers = [_Server(http=HttpJson(url, timeout, key=token, most_bytes=most)) for url in urls]
        self._lock = threading.Lock()
        self._homes: OrderedDict[tuple[str, int], _Server] = OrderedDict()
        self._encoded: OrderedDict[str, str] = OrderedDict()
        self._encoded_bytes = 0
        self._asking = Asking(concurrency, "vllm-servers")
        self._met = False
        self._may_ask = threading.Event()
        self._may_ask.set()
        self._refreshes = 0

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        """The next turn of one conversation."""
        return await self._asking.hear(partial(self._write, context, sampling))

    def take_weights(self, weights: Weights, version: int) -> None:
        """Hand the weights to every server that answers; one that was out is in again.

        Turns under way go on with the new ones, behind what the old ones wrote.
        """
        with self.on_hold():
            self._take_weights(weights, version)

    @contextmanager
    def on_hold(self) -> Iterator[None]:
        """What a server is asked meanwhile may meet with caches that are half emptied, so nothing is."""
        self._may_ask.clear()
        try:
            yield
        finally:
            self._refreshes += 1
            self._may_ask.set()

    def _take_weights(self, weights: Weights, version: int) -> None:
        self._meet(Caller())
        alive = []
        for server in self.servers:
            server.problem = self._examine(server, 0, Caller())
            if server.problem is None:
                alive.append(server)
        failed = push(
            [server.http for server in alive],
            weights,
            version,
            self.transfer,
            device=self.device,
            bucket_bytes=self.bucket_bytes,
        )
        for server in alive:
            server.problem = failed.get(server.http.url)
            server.known.clear()
        self._homes.clear()
        self._refuse_if_none_is_left()
        self.policy_version = version

    def close(self) -> None:
        self._asking.close()

    # --- one turn, in a thread

    def _write(self, context: Context, sampling: Sampling, caller: Caller) -> Utterance:
        assert self.renderer is not None
        self._meet(caller)
        key = (context.task_id, context.place)
        notes: list[str] = []
        while True:
            server = self._choose(key)
            try:
                written = self._ask(server, context, sampling, caller)
            except Unreachable as problem:
                self._take_out(server, str(problem))
                notes.append(f"{server.http.url} was lost in the middle of a turn: {problem}")
                continue
            finally:
                with self._lock:
                    server.writing -= 1
            if list(written.prompt_ids) != self.renderer.expand(context.ids, context.frames):
                raise RuntimeError(
                    f"{server.http.url} read another prompt than ours: its expanded ids differ"
                )
            return Utterance(
                text=self.renderer.decode(written.token_ids),
                token_ids=written.token_ids,
                logprobs=tuple(round(value, 6) for value in written.logprobs),
                weight_version=written.version,
                cut=written.cut,
                faults=tuple(notes),
            )

    def _ask(self, server: _Server, context: Context, sampling: Sampling, caller: Caller) -> FinishedTurn:
        """One turn from one server; asked again while it is busy. Unreachable if it is to be taken out."""
        assert self.renderer is not None
        words = sampling_words(sampling, self.renderer.banned_ids, self.renderer.end_ids, {})
        names = [context.name(frame) for frame in context.frames]
        deadline, pause = time.monotonic() + self.patience, 0.1
        pieces: list[FinishedTurn] = []
        while True:
            while not self._may_ask.is_set():
                caller.pause(0.02)
            refreshes = self._refreshes
            images = self._images(server, context, names)
            known = [token for piece in pieces for token in piece.token_ids]
            try:
                rest = going_on(words, len(known)) if known else words
                body = generate_body((*context.ids, *known), images, rest)
                reply = server.http.post(GENERATE, body, caller=caller, again=True)  # its dice are in it
                written = finished_turn(reply)
            except Refused as refusal:
                if any(url is None for _, url in images):  # it may have dropped one that we took for known
                    server.known.clear()
                elif refreshes != self._refreshes or not self._may_ask.is_set():
                    pass  # weights came meanwhile, and the caches that its frames were in are gone
                elif refusal.status in BUSY and time.monotonic() < deadline:
                    caller.pause(pause)
                    pause = min(2 * pause, 5.0)
                elif refusal.status < 500:
                    raise EngineFault(
                        f"{server.http.url} refuses a turn of {context.task_id!r}: {refusal}"
                    ) from None
                else:
                    raise Unreachable(str(refusal)) from None
            except (KeyError, IndexError, TypeError) as problem:
                raise Unreachable(f"its reply can not be read: {problem}") from None
            else:
                with self._lock:
                    server.knows(names)
                if written.token_ids or not is_cut_off(reply):
                    pieces.append(written)
                if not is_cut_off(reply):
                    return joined(pieces)
                deadline, pause = time.monotonic() + self.patience, 0.1  # it is alive: patience begins anew

    def _images(self, server: _Server, context: Context, names: list[str]) -> list[tuple[str, str | None]]:
        """Name and data of each frame; no data for one that this server was sent before."""
        return [
            (name, None if name in server.known else self._data_url(name, context, frame))
            for name, frame in zip(names, context.frames, strict=True)
        ]

    def _data_url(self, name: str, context: Context, frame: FrameRef) -> str:
        with self._lock:
            if name in self._encoded:
                self._encoded.move_to_end(name)
                return self._encoded[name]
        url = png_url(context.pixels(frame))
        with self._lock:
            if name not in self._encoded:
                self._encoded[name] = url
                self._encoded_bytes += len(url)
            while self._encoded_bytes > ENCODED_BYTES and len(self._encoded) > 1:
                self._encoded_bytes -= len(self._encoded.popitem(last=False)[1])
        return url

    # --- who is asked

    def _choose(self, key: tuple[str, int]) -> _Server:
        """The server that knows this trajectory, or else the one that has least to do."""
        with self._lock:
            server = self._homes.get(key)
            if server is None or server.problem is not None:
                self._refuse_if_none_is_left()
                server = min(
                    (one for one in self.servers if one.problem is None), key=lambda one: one.writing
                )
                self._homes[key] = server
                if len(self._homes) > 100_000:
                    self._homes.popitem(last=False)
            server.writing += 1
            return server

    def _take_out(self, server: _Server, problem: str) -> None:
        with self._lock:
            server.problem = server.problem or problem

    def _refuse_if_none_is_left(self) -> None:
        if all(server.problem is not None for server in self.servers):
            said = "; ".join(f"{server.http.url}: {server.problem}" for server in self.servers)
            raise EngineFault(
                f"no vLLM server is left ({said}): start one with `eva serve` and go on with --ckpt_path last"
            )

    def _meet(self, caller: Caller) -> None:
        """Before the first word: wait for servers that are starting, leave out those that do not come."""
        with self._lock:
            if self._met:
                return
            for server in self.servers:
                server.problem = self._examine(server, self.patience, caller)
            self._met = True
            self._refuse_if_none_is_left()

    def _examine(self, server: _Server, patience: float, caller: Caller) -> str | None:
        """What is wrong with a server; None if it is well. A version that was never looked at is refused."""
        deadline = time.monotonic() + patience
        while True:
            try:
                server.http.get("/health", timeout=10, caller=caller)
                check_version(server.http.get("/version", timeout=10, caller=caller)["version"])
            except (Refused, Unreachable) as problem:
                if isinstance(problem, Refused) and problem.status == 401:
                    return f"{problem}; give this process the {VARIABLE} that the server was started with"
                if time.monotonic() >= deadline:
                    return str(problem)
                caller.pause(0.5)
            else:
                return None


def _refuse_ipc_of_many(transfer: Transfer) -> None:
    """vLLM's half of it waits for all ranks of the trainer, and one of them alone hands over: for ever."""
    ranks = dist.get_world_size() if dist.is_initialized() else 1
    if transfer == "ipc" and ranks > 1:
        raise UsageError(
            f"VLLMServerEngine: transfer is ipc, and the trainer has {ranks} ranks: ipc goes with one alone; "
            "give `eva serve` and the engine shared_memory (same machine) or nccl (other GPUs)"
        )
