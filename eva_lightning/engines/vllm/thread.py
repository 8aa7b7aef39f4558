"""The thread that owns vLLM: turns and calls come in by its inbox, and who sent them hears what came of it.

A turn that is asked for joins the others at their next token; a call is made between two tokens. If vLLM
breaks, on this rank or on one that shares it, all who wait are told, and all who come later. What a turn
means, and what it is worth, is the engine's business (engine.py).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from eva_lightning.engines.base import Utterance
from eva_lightning.engines.hand_back import hand_back
from eva_lightning.engines.vllm.adapter import FinishedTurn, going_on, joined
from eva_lightning.engines.vllm.in_process import InProcess
from eva_lightning.engines.vllm.lockstep import Asked, Lockstep
from eva_lightning.faults import EngineFault
from eva_lightning.records import FrameRef

T = TypeVar("T")
CLOSED = "the vLLM engine was closed"
PATIENCE = 10.0
"""Seconds that a closing engine waits for a thread that other ranks may keep."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WaitingTurn(Asked):
    """A turn that somebody waits for."""

    frames: tuple[FrameRef, ...]
    """The frames of its conversation, in order."""
    future: asyncio.Future[Utterance]
    """Who waits."""
    pieces: list[FinishedTurn] = field(default_factory=list)
    """What is written of it already, by older weights."""


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


_Errand = WaitingTurn | _Call | str | None
"""What the thread is sent: a turn to write, a call to make, the number of a turn to drop, or its end."""


class VLLMThread:
    """Lets everybody write at once, one token for all of them after the other."""

    vllm: InProcess
    """What it owns, once it was built."""

    def __init__(
        self, lockstep: Lockstep | None, read: Callable[[WaitingTurn, FinishedTurn], Utterance]
    ) -> None:
        """
        Args:
            lockstep: The ranks that share this vLLM; None if there are no others.
            read: What a turn that has ended means to whoever waits for it.
        """
        self.lockstep, self._read = lockstep, read
        self._inbox: queue.SimpleQueue[_Errand] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._ended: BaseException | None = None
        self._turns: dict[str, WaitingTurn] = {}
        self._running: _Call | None = None
        self._together = False
        if lockstep is not None:
            lockstep.listen(self._end)
        self._thread = threading.Thread(target=self._work, name="vllm-engine", daemon=True)
        self._thread.start()

    def build(self, made: Callable[[], InProcess]) -> None:
        """Start vLLM in here; if it does not start, all of this is over."""
        try:
            self.vllm = self.call(made)
        except BaseException as problem:
            self._fault(problem)  # ranks that share this vLLM must not wait for it
            self.close()
            raise

    def call(self, what: Callable[[], T]) -> T:
        """Run something in the thread, between two tokens, and wait for it."""
        if self._together:
            raise EngineFault("ranks that share a vLLM write in step: first leave `awake()`, on all of them")
        outcome: Future[T] = Future()
        self.send(_Call(what=what, outcome=outcome))
        return outcome.result()

    def refresh(self, take: Callable[[], None]) -> None:
        """Have vLLM take new weights: turns under way are cut off, and go on behind their last token."""
        self.call(partial(self._refresh, take))

    def send(self, errand: _Errand) -> None:
        """Give the thread something to do; EngineFault says why it has ended."""
        with self._door:
            if self._ended is not None:
                raise EngineFault(str(self._ended))
            self._inbox.put(errand)

    def close(self) -> None:
        """Stop the thread and free the memory; whoever still waits is told."""
        with suppress(EngineFault):  # it has ended already
            self.send(None)
        # On another rank vLLM may have broken while this one's waits for it, for ever: leave it there.
        self._thread.join(None if self.lockstep is None else PATIENCE)

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Where ranks share this vLLM, the thread writes together with them until all of them leave."""
        if self.lockstep is None:
            yield
            return
        leaving, outcome = threading.Event(), Future[None]()
        self._together = True
        try:
            self.send(_Call(what=partial(self._write_together, leaving), outcome=outcome, deadly=True))
            try:
                yield
            finally:
                leaving.set()
                outcome.result()
        finally:
            self._together = False

    def _work(self) -> None:
        """Take what came, write one token for everybody, hand back what ended; again."""
        problem: BaseException = EngineFault(CLOSED)
        try:
            while True:
                for item in self._arrivals():
                    if item is None:
                        return
                    if isinstance(item, WaitingTurn):
                        self._begin(item)
                    elif isinstance(item, _Call):
                        self._run(item)
                    else:
                        self._drop(item)
                for number, written in self.vllm.step() if self._turns else ():
                    self._settle(number, written)
        except BaseException as caught:  # vLLM is broken: nobody may wait for ever
            problem = self._fault(caught)
        finally:
            self._end(problem)
            if hasattr(self, "vllm"):
                self.vllm.close()
            if self.lockstep is not None:
                self.lockstep.close()

    def _write_together(self, leaving: threading.Event) -> None:
        """What `_work` does, in step with the ranks that share this vLLM."""
        assert self.lockstep is not None
        while True:
            leaves = leaving.is_set()  # before the inbox: all that this rank asked for is in there by now
            begun, dropped = [], []
            for item in self._waiting():
                if isinstance(item, WaitingTurn):
                    self._turns[item.number] = item
                    begun.append(item)
                elif isinstance(item, str):
                    self._turns.pop(item, None)
                    dropped.append(item)
                elif item is None:
                    raise EngineFault(CLOSED)
            done = self.lockstep.tick(self.vllm, begun, dropped, leaves)
            if done is None:
                return
            for number, outcome in done:
                self._settle(number, outcome)

    def _refresh(self, take: Callable[[], None]) -> None:
        for number, turn in self._turns.items():
            piece = self.vllm.cut_off(number)
            if piece is not None and piece.token_ids:
                turn.pieces.append(piece)
        try:
            take()
        finally:  # if the weights did not come, who waits must still hear of his turn
            for turn in list(self._turns.values()):
                self._ask(turn)

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
        return fault if self.lockstep is None else self.lockstep.blame(fault)

    def _end(self, problem: BaseException) -> None:
        """Let nobody in any more, and tell all who are inside. Any thread may do so, and again."""
        with self._door:
            self._ended = problem = self._ended or problem
        if self._running is not None:
            self._running.fail(problem)
        for turn in list(self._turns.values()):
            hand_back(turn.future, problem)
        for item in self._waiting():
            if isinstance(item, WaitingTurn):
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

    def _begin(self, turn: WaitingTurn) -> None:
        if self.lockstep is not None:
            outside = "ranks that share a vLLM write in step: write inside of `awake()` only"
            hand_back(turn.future, EngineFault(outside))
            return
        self._turns[turn.number] = turn  # first: if vLLM breaks here, this one must hear of it, too
        self._ask(turn)

    def _ask(self, turn: WaitingTurn) -> None:
        """Have vLLM begin with it, or go on behind what is written of it."""
        written = [token for piece in turn.pieces for token in piece.token_ids]
        words = going_on(turn.words, len(written)) if written else turn.words
        try:
            self.vllm.add(turn.number, (*turn.ids, *written), turn.pixels, turn.names, words)
        except EngineFault as refused:
            hand_back(self._turns.pop(turn.number).future, refused)

    def _settle(self, number: str, outcome: FinishedTurn | EngineFault) -> None:
        """A turn has ended. One of another rank, and one that was dropped, is nobody's business here."""
        turn = self._turns.pop(number, None)
        if turn is None:
            return
        if isinstance(outcome, EngineFault):
            hand_back(turn.future, outcome)
        else:
            hand_back(turn.future, self._read(turn, joined([*turn.pieces, outcome])))

    def _drop(self, number: str) -> None:
        if self._turns.pop(number, None) is not None:
            self.vllm.abort(number)
