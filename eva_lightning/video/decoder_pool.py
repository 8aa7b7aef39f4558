"""Open decoders, lent to one caller at a time and kept for the next.

The bound on open files is hard: a caller waits when all are lent. Decoders know nothing of threads; thanks to
the pool they need not.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from eva_lightning.video.decoder import Decoder
from eva_lightning.video.identity import Identity
from eva_lightning.video.quarantine import Interrupted


class DecoderPool:
    """At most `max_open` open decoders; of one file as many as callers read it at once, if cores allow."""

    def __init__(self, open_one: Callable[..., Decoder], max_open: int) -> None:
        """
        Args:
            open_one: Opens a file; `threads` says how many threads it is to decode with.
            max_open: Decoders that are open at once.
        """
        if max_open < 1:
            raise ValueError(f"max_open is {max_open}: at least one decoder must be open")
        self._open_one = open_one
        self._max_open = max_open
        self._per_file = min(max_open, os.cpu_count() or 1)
        self._change = threading.Condition()
        self._idle: OrderedDict[int, tuple[Identity, int, Decoder]] = OrderedDict()
        self._lent: Counter[Identity] = Counter()
        self._closed = False

    @property
    def open(self) -> int:
        """Decoders that are open now, lent or idle."""
        return len(self._idle) + self._lent.total()

    @contextmanager
    def borrow(self, identity: Identity, threads: int = 1) -> Iterator[Decoder]:
        """A decoder of this file that works with so many threads, for this caller alone."""
        decoder = self._take(identity, threads)
        try:
            yield decoder
        except BaseException:
            self._give_back(identity, threads, decoder, keep=False)  # who knows where it stands
            raise
        self._give_back(identity, threads, decoder, keep=True)

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        with self._change:
            self._closed = True
            idle = [decoder for *_, decoder in self._idle.values()]
            self._idle.clear()
            self._change.notify_all()
        for decoder in idle:
            decoder.close()

    def _take(self, identity: Identity, threads: int) -> Decoder:
        old: Decoder | None = None
        with self._change:
            while True:
                if self._closed:
                    raise Interrupted(f"{identity[0]}: the frame store is closed; open another")
                fits = (key for key in reversed(self._idle) if self._idle[key][:2] == (identity, threads))
                mine = next(fits, None)
                if mine is not None:
                    self._lent[identity] += 1
                    return self._idle.pop(mine)[2]
                if self._lent[identity] < self._per_file:
                    if self.open < self._max_open:
                        break
                    if self._idle:
                        old = self._idle.popitem(last=False)[1][2]
                        break
                self._change.wait()
            self._lent[identity] += 1
        try:
            if old is not None:
                old.close()
            return self._open_one(identity[0], threads=threads)
        except BaseException:
            self._give_back(identity, threads, None, keep=False)
            raise

    def _give_back(self, identity: Identity, threads: int, decoder: Decoder | None, *, keep: bool) -> None:
        with self._change:
            keep = keep and not self._closed
            self._lent[identity] -= 1
            if not self._lent[identity]:
                del self._lent[identity]
            if keep and decoder is not None:
                self._idle[id(decoder)] = (identity, threads, decoder)
            self._change.notify_all()
        if decoder is not None and not keep:
            decoder.close()
