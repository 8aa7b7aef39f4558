"""vLLM in this process as the engine: turns of many trajectories written together, joining as they come.

One thread owns vLLM. A turn that is asked for joins the others at their next token (nobody waits for the
slowest tool), what was read of a conversation is kept for its next turn, and a frame is known by clip, time
and size, so that no pixel is hashed or prepared twice. The weights are a copy: `RolloutRefresh` hands over
the new ones. What depends on vLLM's version is in the adapter.

The same seed draws the same tokens from the same numbers; who else is being written can change the last bits
of those numbers, so a replay is exact only as long as none of them decides a token.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import torch

from eva_lightning.engines.base import Context, RefreshedEngine, Sampling, Utterance, Weights
from eva_lightning.engines.vllm_adapter import InProcess, Written, sampling_words
from eva_lightning.engines.vllm_settings import VLLMSettings
from eva_lightning.faults import EngineFault, UsageError
from eva_lightning.policy.loading import Policy
from eva_lightning.records import FrameRef
from eva_lightning.video.decoder import Pixels

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Turn:
    """A turn that somebody waits for."""

    number: str
    ids: tuple[int, ...]
    frames: tuple[FrameRef, ...]
    pixels: list[Pixels]
    names: list[str]
    words: dict[str, Any]
    future: asyncio.Future[Utterance]
    loop: asyncio.AbstractEventLoop


@dataclass(frozen=True, kw_only=True, eq=False)
class _Call:
    """Something to be done in the engine's thread; somebody waits for the outcome."""

    what: Callable[[], Any]
    outcome: Future[Any]

    def run(self) -> None:
        try:
            self.outcome.set_result(self.what())
        except BaseException as problem:  # whatever it is, the caller must hear of it
            self.outcome.set_exception(problem)


_Errand = _Turn | _Call | str | None
"""What the thread is sent: a turn to write, a call to make, the number of a turn to drop, or its end."""


@dataclass(kw_only=True)
class Spent:
    """What the engine did so far."""

    read: int = 0
    """Tokens of prompts."""
    cached: int = 0
    """Those of them that were known from an earlier turn."""
    written: int = 0
    """Tokens written."""


class VLLMEngine(RefreshedEngine):
    """Writes with vLLM, here."""

    def __init__(
        self,
        policy: Policy,
        settings: VLLMSettings | None = None,
        tensor_parallel: int = 1,
        sleep_level: Literal[0, 1, 2] = 0,
    ) -> None:
        """
        Args:
            policy: The model whose turns it writes; it begins with the weights of that checkpoint's folder.
            settings: How vLLM is set up.
            tensor_parallel: GPUs that share one copy of the weights. Above 1, ranks of the trainer share an
                engine, and it is asked by all of them in step.
            sleep_level: What it gives back between rollouts. 0: nothing. 1: the cache, and the weights go to
                host memory. 2: both, and the weights are handed over anew before each rollout. Needs a GPU.
        """
        if sleep_level and not torch.cuda.is_available():
            raise UsageError(f"sleep_level is {sleep_level}: vLLM sleeps on GPUs only; here it must be 0")
        if tensor_parallel != 1:
            raise UsageError(
                f"tensor_parallel is {tensor_parallel}: in process every rank has a vLLM of its own; for a "
                "model that needs several GPUs take VLLMServerEngine and `eva serve --tensor_parallel`"
            )
        self.settings = settings or VLLMSettings()
        room = min(self.settings.max_length, policy.max_positions)
        self.settings = replace(self.settings, max_length=room)
        self.renderer = policy.renderer
        self.sleep_level, self.sleeps = sleep_level, bool(sleep_level)
        self.spent = Spent()
        self._numbers = itertools.count()
        self._inbox: queue.SimpleQueue[_Errand] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._ended: BaseException | None = None
        self._turns: dict[str, _Turn] = {}
        self._asleep: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="vllm-engine", daemon=True)
        self._thread.start()
        dtype = next(policy.model.parameters()).dtype
        try:
            self._vllm = self._call(
                lambda: InProcess(
                    policy.path,
                    policy.revision,
                    dtype,
                    self.settings,
                    tensor_parallel=tensor_parallel,
                    sleeps=bool(sleep_level),
                )
            )
        except BaseException:
            self.close()
            raise

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        """The next turn of one conversation."""
        assert self.renderer is not None
        frames = context.frames
        self._check(context, frames, sampling)
        pixels: list[Pixels] = []
        if frames:
            pixels = await asyncio.to_thread(lambda: [context.pixels(frame) for frame in frames])
        loop = asyncio.get_running_loop()
        turn = _Turn(
            number=str(next(self._numbers)),
            ids=context.ids,
            frames=frames,
            pixels=pixels,
            names=[context.name(frame) for frame in frames],
            words=sampling_words(sampling, self.renderer.banned_ids, self.renderer.end_ids, {}),
            future=loop.create_future(),
            loop=loop,
        )
        self._send(turn)
        try:
            return await turn.future
        except asyncio.CancelledError:
            with suppress(EngineFault):  # it has ended: there is nothing to drop
                self._send(turn.number)
            raise

    def take_weights(self, weights: Weights, version: int) -> None:
        """Replace all weights and empty every cache. The trainer may go on using its tensors: vLLM copies."""
        self._wake("weights")
        self._call(lambda: self._vllm.take(weights(), version))
        self.policy_version, self.holds_weights = version, True

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Takes the GPU memory it needs to write, and gives it back at the end."""
        if not self.holds_weights:
            raise EngineFault("vLLM slept at level 2 and has no weights: hand it some (RolloutRefresh)")
        self._wake("weights")
        self._wake("kv_cache")
        try:
            yield
        finally:
            if self.sleep_level:
                self._call(lambda: self._vllm.sleep(self.sleep_level))
                self._asleep = {"weights", "kv_cache"}
                self.holds_weights = self.sleep_level < 2

    def close(self) -> None:
        """Stop the thread and free the memory; whoever still waits is told."""
        with suppress(EngineFault):  # it has ended already
            self._send(None)
        self._thread.join()

    def _wake(self, what: str) -> None:
        if what in self._asleep:
            self._call(lambda: self._vllm.wake(what))
            self._asleep.remove(what)

    def _check(self, context: Context, frames: Sequence[FrameRef], sampling: Sampling) -> None:
        """Say in our words what vLLM would refuse in its own."""
        length = len(context.ids) - len(frames) + sum(frame.visual_tokens for frame in frames)
        largest = max((frame.visual_tokens for frame in frames), default=0)
        wrong = None
        if length + 1 > self.settings.max_length:
            wrong = f"{length} tokens, and the engine takes {self.settings.max_length - 1}: raise max_length"
        elif len(frames) > self.settings.max_frames:
            wrong = f"{len(frames)} frames, and the engine takes {self.settings.max_frames}: raise max_frames"
        elif largest > self.settings.max_frame_tokens:
            wrong = f"a frame of {largest} tokens: raise max_frame_tokens ({self.settings.max_frame_tokens})"
        if wrong:
            raise EngineFault(f"task {context.task_id!r}: a conversation with {wrong}")

    # --- in the engine's thread

    def _call(self, what: Callable[[], T]) -> T:
        """Run something in the engine's thread, between two tokens, and wait for it."""
        outcome: Future[T] = Future()
        self._send(_Call(what=what, outcome=outcome))
        return outcome.result()

    def _send(self, errand: _Errand) -> None:
        """Give the thread something to do; EngineFault says why it has ended."""
        with self._door:
            if self._ended is not None:
                raise EngineFault(str(self._ended))
            self._inbox.put(errand)

    def _work(self) -> None:
        """Take what came, write one token for everybody, hand back what ended; again."""
        problem: BaseException = EngineFault("the vLLM engine was closed")
        try:
            while True:
                for item in self._arrivals():
                    if item is None:
                        return
                    if isinstance(item, _Turn):
                        self._begin(item)
                    elif isinstance(item, _Call):
                        item.run()
                    else:
                        self._drop(item)
                for number, written in self._vllm.step() if self._turns else ():
                    turn = self._turns.pop(number, None)
                    if turn is not None:
                        self._hand_back(turn, self._utterance(turn, written))
        except BaseException as caught:  # vLLM is broken: nobody may wait for ever
            problem = EngineFault(f"vLLM failed: {type(caught).__name__}: {caught}")
            problem.__cause__ = caught
        finally:
            self._end(problem)
            if hasattr(self, "_vllm"):
                self._vllm.close()

    def _end(self, problem: BaseException) -> None:
        """Let nobody in any more, and tell all who are inside."""
        with self._door:
            self._ended = problem
        for turn in self._turns.values():
            self._hand_back(turn, problem)
        while not self._inbox.empty():
            item = self._inbox.get()
            if isinstance(item, _Turn):
                self._hand_back(item, problem)
            elif isinstance(item, _Call):
                item.outcome.set_exception(problem)

    def _arrivals(self) -> Iterator[_Errand]:
        """All that came since; waits for something if there is nothing to write."""
        if not self._turns:
            yield self._inbox.get()
        with suppress(queue.Empty):
            while True:
                yield self._inbox.get_nowait()

    def _begin(self, turn: _Turn) -> None:
        self._turns[turn.number] = turn  # first: if vLLM breaks here, this one must hear of it, too
        try:
            self._vllm.add(turn.number, turn.ids, turn.pixels, turn.names, turn.words)
        except EngineFault as refused:
            self._hand_back(self._turns.pop(turn.number), refused)

    def _drop(self, number: str) -> None:
        if self._turns.pop(number, None) is not None:
            self._vllm.abort(number)

    def _utterance(self, turn: _Turn, written: Written) -> Utterance:
        assert self.renderer is not None
        if list(written.prompt_ids) != self.renderer.expand(turn.ids, turn.frames):
            raise RuntimeError("vLLM read another prompt than ours: its expanded ids differ from our own")
        self.spent.read += len(written.prompt_ids)
        self.spent.cached += written.cached
        self.spent.written += len(written.token_ids)
        return Utterance(
            text=self.renderer.decode(written.token_ids),
            token_ids=written.token_ids,
            logprobs=tuple(round(value, 6) for value in written.logprobs),
            weight_version=written.version,
            cut=written.cut,
        )

    def _hand_back(self, turn: _Turn, outcome: Utterance | BaseException) -> None:
        def settle() -> None:
            if turn.future.done():
                return
            if isinstance(outcome, BaseException):
                turn.future.set_exception(outcome)
            else:
                turn.future.set_result(outcome)

        with suppress(RuntimeError):  # the loop is gone, and everybody with it
            turn.loop.call_soon_threadsafe(settle)
