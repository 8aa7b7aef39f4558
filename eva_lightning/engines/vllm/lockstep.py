"""Ranks that share one vLLM: each holds a part of its weights, so all must write the same turns at once.

Every rank rolls out trajectories of its own. Before each token the ranks of a group tell each other what came
and what was dropped, so that their vLLMs are given the same turns in the same order and are stepped equally
often. What vLLM exchanges meanwhile (activations) is its own business. The queue, the thread and who waits
for a turn are the engine's.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from eva_lightning.engines.vllm.adapter import FinishedTurn
from eva_lightning.engines.vllm.in_process import InProcess
from eva_lightning.faults import EngineFault, UsageError, first_line
from eva_lightning.video.decoder import Pixels

IDLE = 0.002
"""Seconds between two looks around while nobody of the group has anything to write."""
LISTEN = 0.5
"""Seconds between two looks at whether vLLM broke on another rank."""
BROKEN = "broken"
"""Where the group's store says which rank broke, and how."""
KNOWN_BYTES = 2 * 2**30
"""Pixels kept on every rank of a group, so that a frame travels once and not again with every turn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """A turn to be written, as vLLM is asked."""

    number: str
    """Its name, unlike that of any other turn of the group."""
    ids: tuple[int, ...]
    """The collapsed token track."""
    pixels: Sequence[Pixels]
    """All of its frames, in order."""
    names: Sequence[str]
    """What each frame is called in the caches."""
    words: Mapping[str, Any]
    """How to draw tokens, in vLLM's words."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sent:
    """A turn on its way to the other ranks."""

    number: str
    ids: tuple[int, ...]
    names: tuple[str, ...]
    words: Mapping[str, Any]
    pixels: dict[str, Pixels]
    """Of those frames alone that the others do not know yet."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _News:
    """What a rank tells the others before each token."""

    begun: list[_Sent]
    dropped: list[str]
    leaves: bool
    """It has nothing more to ask for."""
    wrote: int
    """A number for what its vLLM wrote last: where these differ, the ranks write different things."""


class Lockstep:
    """This rank's place among those that share a vLLM. All ranks of the trainer make one together."""

    def __init__(self, size: int) -> None:
        """
        Args:
            size: Ranks that share one vLLM: neighbours, so that they are on one machine.
        """
        world = dist.get_world_size() if dist.is_initialized() else 1
        if size < 1 or world % size:
            raise UsageError(
                f"tensor_parallel is {size}, and the trainer has {world} rank{'s' * (world > 1)}: in process "
                "the ranks share a vLLM in groups of equal size; make their number a multiple of it, or take "
                "VLLMServerEngine and `eva serve --tensor_parallel`"
            )
        self.rank = dist.get_rank()
        self._group, _ = dist.new_subgroups(group_size=size, backend="gloo")  # type: ignore[no-untyped-call]
        self._store = self._group.get_group_store()
        first = self.rank - self.rank % size
        self._who = f"ranks {first} to {first + size - 1}"
        self._known = KnownPixels(KNOWN_BYTES)
        self._unfinished: set[str] = set()
        self._wrote = 0
        self._closed = threading.Event()

    def tick(
        self, vllm: InProcess, begun: Sequence[Asked], dropped: Sequence[str], leaves: bool
    ) -> list[tuple[str, FinishedTurn | EngineFault]] | None:
        """One more token for the whole group, together with all other ranks of it.

        Args:
            vllm: This rank's part of the one vLLM.
            begun: Turns of this rank that came since the last tick.
            dropped: Numbers of those that nobody waits for any more.
            leaves: This rank will ask for nothing more.

        Returns:
            Turns that ended on any rank, or were refused. None at the end: everybody leaves, nothing is
            unfinished.
        """
        sent = [self._known.pack(one) for one in begun]
        news = _News(begun=sent, dropped=list(dropped), leaves=leaves, wrote=self._wrote)
        everyone = self._exchange(news)
        done: list[tuple[str, FinishedTurn | EngineFault]] = []
        for one in (one for rank in everyone for one in rank.begun):
            try:
                vllm.add(one.number, one.ids, self._known.unpack(one), one.names, one.words)
                self._unfinished.add(one.number)
            except EngineFault as refused:  # on every rank alike
                done.append((one.number, refused))
        self._known.forget()
        for number in (number for rank in everyone for number in rank.dropped):
            if number in self._unfinished:
                self._unfinished.remove(number)
                vllm.abort(number)
        if self._unfinished:
            written = vllm.step()
            self._wrote = zlib.crc32(repr([(number, one.token_ids) for number, one in written]).encode())
            self._unfinished.difference_update(number for number, _ in written)
            done += written
        elif all(rank.leaves for rank in everyone):
            return None
        elif not done:
            time.sleep(IDLE)
        return done

    def _exchange(self, mine: _News) -> list[_News]:
        """What every rank of the group has to tell, in the order of ranks."""
        everyone: list[Any] = [None] * self._group.size()
        try:
            dist.all_gather_object(everyone, mine, group=self._group)
        except RuntimeError as problem:
            why = f"one of {self._who}, which share a vLLM, is gone: {first_line(problem)}"
            raise EngineFault(why) from problem
        if len({news.wrote for news in everyone}) > 1:
            raise EngineFault(
                f"{self._who} share a vLLM and wrote different tokens with it: their weights differ, or "
                "vLLM did not do the same on all of them"
            )
        return everyone

    # --- who broke

    def blame(self, problem: EngineFault) -> EngineFault:
        """What is to be told here about a vLLM that broke.

        If it was the first one, the others are told, too: they may be waiting for this rank inside of vLLM,
        where nothing reaches them.
        """
        with suppress(RuntimeError):  # the store is gone, and the process that held it
            first = self._heard()
            if first is not None:
                return EngineFault(first)
            self._store.set(BROKEN, f"rank {self.rank}: {problem}")
        return problem

    def listen(self, end: Callable[[EngineFault], None]) -> None:
        """Call `end`, in a thread of its own, when vLLM breaks on another rank."""

        def work() -> None:
            with suppress(RuntimeError):  # as above; who is gone is missed by those who exchange with it
                while not self._closed.wait(LISTEN):
                    first = self._heard()
                    if first is not None:
                        return end(EngineFault(first))

        threading.Thread(target=work, name="vllm-lockstep", daemon=True).start()

    def _heard(self) -> str | None:
        """Where vLLM broke first, if it did."""
        if not self._store.check([BROKEN]):
            return None
        first = self._store.get(BROKEN).decode()
        return f"{self._who} share a vLLM, and it broke on {first}"

    def close(self) -> None:
        """Leave the group. Whoever waits for this rank hears of it."""
        self._closed.set()
        if dist.is_initialized():
            dist.destroy_process_group(self._group)


class KnownPixels:
    """Pixels that all ranks of a group have.

    They change in the same way on each, so each knows what the others know.
    """

    def __init__(self, room: int) -> None:
        self._room, self._used = room, 0
        self._held: OrderedDict[str, Pixels] = OrderedDict()

    def pack(self, turn: Asked) -> _Sent:
        """A turn with those pixels that are not known yet."""
        frames = zip(turn.names, turn.pixels, strict=True)
        new = {name: pixels for name, pixels in frames if name not in self._held}
        return _Sent(number=turn.number, ids=turn.ids, names=tuple(turn.names), words=turn.words, pixels=new)

    def unpack(self, turn: _Sent) -> list[Pixels]:
        """All pixels of a turn; from now on they are known."""
        for name, pixels in turn.pixels.items():
            if name not in self._held:
                self._held[name] = pixels
                self._used += pixels.nbytes
        for name in turn.names:
            self._held.move_to_end(name)
        return [self._held[name] for name in turn.names]

    def forget(self) -> None:
        """Make room: those go that were shown longest ago.

        Only between two ticks, when nothing is under way that counts on them.
        """
        while self._used > self._room:
            _, pixels = self._held.popitem(last=False)
            self._used -= pixels.nbytes
