"""vLLM in this process as the engine: turns of many trajectories written together, joining as they come.

One thread owns vLLM. A turn that is asked for joins the others at their next token (nobody waits for the
slowest tool), what was read of a conversation is kept for its next turn, and a frame is known by clip, time
and size, so that no pixel is hashed or prepared twice. The weights are a copy: `RolloutRefresh` hands over
the new ones. How vLLM wants to be asked is said by `in_process`.

The same seed draws the same tokens from the same numbers; who else is being written can change the last bits
of those numbers, so a replay is exact only as long as none of them decides a token.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar

import torch

from eva_lightning.device import own_card
from eva_lightning.engines.base import Context, RefreshedEngine, Sampling, Utterance, Weights
from eva_lightning.engines.hand_back import hand_back
from eva_lightning.engines.vllm.adapter import FinishedTurn, sampling_words
from eva_lightning.engines.vllm.in_process import InProcess
from eva_lightning.engines.vllm.lockstep import Asked, Lockstep
from eva_lightning.engines.vllm.settings import VLLMSettings
from eva_lightning.faults import EngineFault, UsageError
from eva_lightning.policy.loading import Policy
from eva_lightning.records import FrameRef
from eva_lightning.video.decoder import Pixels

T = TypeVar("T")
CLOSED = "the vLLM engine was closed"
PATIENCE = 10.0
"""Seconds that a closing engine waits for a thread that other ranks may keep."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Turn(Asked):
    """A turn that somebody waits for."""

    frames: tuple[FrameRef, ...]
    future: asyncio.Future[Utterance]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Call:
    """Something to be done in the engine's thread; somebody waits for the outcome."""

    what: Callable[[], Any]
    outcome: Future[Any]
    deadly: bool = False
    """What breaks in it breaks the engine."""

    def run(self) -> None:
        try:
            result = self.what()
        except BaseException as problem:  # whatever it is, the caller must hear of it
            if self.deadly:
                raise
            self.fail(problem)
        else:
            with suppress(InvalidStateError):  # it was told already that vLLM broke on another rank
                self.outcome.set_result(result)

    def fail(self, problem: BaseException) -> None:
        with suppress(InvalidStateError):
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
            tensor_parallel: GPUs that share one copy of the weights. Above 1, as many neighbouring ranks of
                the trainer share a vLLM, and write in step.
            sleep_level: What it gives back between rollouts. 0: nothing. 1: the cache, and the weights go to
                host memory. 2: both, and the weights are handed over anew before each rollout. Needs a GPU.
        """
        if sleep_level and not torch.cuda.is_available():
            raise UsageError(f"sleep_level is {sleep_level}: vLLM sleeps on GPUs only; here it must be 0")
        self._lockstep = Lockstep(tensor_parallel) if tensor_parallel != 1 else None
        self.settings = settings or VLLMSettings()
        room = min(self.settings.max_length, policy.max_positions)
        self.settings = replace(self.settings, max_length=room)
        self.renderer = policy.renderer
        self.sleep_level, self.sleeps = sleep_level, bool(sleep_level)
        self.spent = Spent()
        self._prefix = f"{self._lockstep.rank}." if self._lockstep is not None else ""
        self._numbers = itertools.count()
        self._inbox: queue.SimpleQueue[_Errand] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._ended: BaseException | None = None
        self._turns: dict[str, _Turn] = {}
        self._asleep: set[str] = set()
        self._running: _Call | None = None
        self._together = False
        if self._lockstep is not None:
            self._lockstep.listen(self._end)
        self._thread = threading.Thread(target=self._work, name="vllm-engine", daemon=True)
        self._thread.start()
        dtype = next(policy.model.parameters()).dtype
        device = own_card()  # as seen by the thread that trains
        try:
            self._vllm = self._call(
                lambda: InProcess(
                    policy.path,
                    policy.revision,
                    dtype,
                    self.settings,
                    device=device,
                    tensor_parallel=tensor_parallel,
                    sleeps=bool(sleep_level),
                )
            )
        except BaseException as problem:
            self._fault(problem)  # ranks that share this vLLM must not wait for it
            self.close()
            raise

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        """The next turn of one conversation."""
        assert self.renderer is not None
        frames = context.frames
        self._check(context, frames)
        pixels: list[Pixels] = []
        if frames:
            pixels = await asyncio.to_thread(lambda: [context.pixels(frame) for frame in frames])
        turn = _Turn(
            number=self._prefix + str(next(self._numbers)),
            ids=context.ids,
            frames=frames,
            pixels=pixels,
            names=[context.name(frame) for frame in frames],
            words=sampling_words(sampling, self.renderer.banned_ids, self.renderer.end_ids, {}),
            future=asyncio.get_running_loop().create_future(),
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
        """Takes the GPU memory it needs to write, and gives it back at the end.

        Ranks that share a vLLM enter together, and each leaves when all have written what they wanted.
        """
        if not self.holds_weights:
            raise EngineFault("vLLM slept at level 2 and has no weights: hand it some (RolloutRefresh)")
        self._wake("weights")
        self._wake("kv_cache")
        try:
            if self._lockstep is None:
                yield
            else:
                with self._in_step():
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
        # On another rank vLLM may have broken while this one's waits for it, for ever: leave it there.
        self._thread.join(None if self._lockstep is None else PATIENCE)

    @contextmanager
    def _in_step(self) -> Iterator[None]:
        """The thread writes together with the other ranks of the group, until all of them leave."""
        leaving, outcome = threading.Event(), Future[None]()
        self._together = True
        try:
            self._send(_Call(what=partial(self._write_together, leaving), outcome=outcome, deadly=True))
            try:
                yield
            finally:
                leaving.set()
                outcome.result()
        finally:
            self._together = False

    def _wake(self, what: str) -> None:
        if what in self._asleep:
            self._call(lambda: self._vllm.wake(what))
            self._asleep.remove(what)

    def _check(self, context: Context, frames: Sequence[FrameRef]) -> None:
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
        if self._together:
            raise EngineFault("ranks that share a vLLM write in step: first leave `awake()`, on all of them")
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
        problem: BaseException = EngineFault(CLOSED)
        try:
            while True:
                for item in self._arrivals():
                    if item is None:
                        return
                    if isinstance(item, _Turn):
                        self._begin(item)
                    elif isinstance(item, _Call):
                        self._run(item)
                    else:
                        self._drop(item)
                for number, written in self._vllm.step() if self._turns else ():
                    self._settle(number, written)
        except BaseException as caught:  # vLLM is broken: nobody may wait for ever
            problem = self._fault(caught)
        finally:
            self._end(problem)
            if hasattr(self, "_vllm"):
                self._vllm.close()
            if self._lockstep is not None:
                self._lockstep.close()

    def _write_together(self, leaving: threading.Event) -> None:
        """What `_work` does, in step with the ranks that share this vLLM."""
        assert self._lockstep is not None
        while True:
            leaves = leaving.is_set()  # before the inbox: all that this rank asked for is in there by now
            begun, dropped = [], []
            for item in self._waiting():
                if isinstance(item, _Turn):
                    self._turns[item.number] = item
                    begun.append(item)
                elif isinstance(item, str):
                    self._turns.pop(item, None)
                    dropped.append(item)
                elif item is None:
                    raise EngineFault(CLOSED)
            done = self._lockstep.tick(self._vllm, begun, dropped, leaves)
            if done is None:
                return
            for number, outcome in done:
                self._settle(number, outcome)

    def _run(self, call: _Call) -> None:
        self._running = call
        if self._ended is None:
            call.run()
        else:  # another rank broke, perhaps before it could be seen that this is running
            call.fail(self._ended)
        self._running = None

    def _fault(self, caught: BaseException) -> EngineFault:
        """What is to be told; where ranks share a vLLM, of the one that broke first."""
        if isinstance(caught, EngineFault):
            fault = caught
        else:
            fault = EngineFault(f"vLLM failed: {type(caught).__name__}: {caught}")
            fault.__cause__ = caught
        return fault if self._lockstep is None else self._lockstep.blame(fault)

    def _end(self, problem: BaseException) -> None:
        """Let nobody in any more, and tell all who are inside. Any thread may do so, and again."""
        with self._door:
            self._ended = problem = self._ended or problem
        if self._running is not None:
            self._running.fail(problem)
        for turn in list(self._turns.values()):
            hand_back(turn.future, problem)
        for item in self._waiting():
            if isinstance(item, _Turn):
                hand_back(item.future, problem)
            elif isinstance(item, _Call):
                item.fail(problem)
        self._inbox.put(None)  # the thread itself may not know yet

    def _arrivals(self) -> Iterator[_Errand]:
        """All that came since; waits for something if there is nothing to write."""
        if not self._turns:
            yield self._inbox.get()
        yield from self._waiting()

    def _waiting(self) -> Iterator[_Errand]:
        """All that is there."""
        with suppress(queue.Empty):
            while True:
                yield self._inbox.get_nowait()

    def _begin(self, turn: _Turn) -> None:
        if self._lockstep is not None:
            outside = "ranks that share a vLLM write in step: write inside of `awake()` only"
            hand_back(turn.future, EngineFault(outside))
            return
        self._turns[turn.number] = turn  # first: if vLLM breaks here, this one must hear of it, too
        try:
            self._vllm.add(turn.number, turn.ids, turn.pixels, turn.names, turn.words)
        except EngineFault as refused:
            hand_back(self._turns.pop(turn.number).future, refused)

    def _settle(self, number: str, outcome: FinishedTurn | EngineFault) -> None:
        """A turn has ended. One of another rank, and one that was dropped, is nobody's business here."""
        turn = self._turns.pop(number, None)
        if turn is None:
            return
        hand_back(
            turn.future, self._utterance(turn, outcome) if isinstance(outcome, FinishedTurn) else outcome
        )

    def _drop(self, number: str) -> None:
        if self._turns.pop(number, None) is not None:
            self._vllm.abort(number)

    def _utterance(self, turn: _Turn, written: FinishedTurn) -> Utterance:
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
