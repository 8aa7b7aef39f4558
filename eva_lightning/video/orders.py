"""Frames that are decoded together: of one group of pictures, in one size, for all who ask in time.

A frame costs all pictures from its key frame on, so one more of the same group costs next to nothing, until
its decoding begins. Who asks, and who decodes, is the frame store's business.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import pairwise

from eva_lightning.video.decoder import Frame
from eva_lightning.video.identity import Identity
from eva_lightning.video.packet_index import PacketIndex

WORTH_THREADS = 25
"""Pictures in a part from which on several threads are worth it."""

MARGIN = 1.25
"""How many times longer than a fair share of the whole a part must take for others to wait for it."""

Key = tuple[Identity, int, int, int]
"""File, ticks of a frame or number of a group of pictures, height, width."""


@dataclass(frozen=True, eq=False)
class View:
    """One file, shown in one size."""

    identity: Identity
    index: PacketIndex
    height: int
    width: int

    def frame(self, frame: int) -> Key:
        """The name under which a frame is kept."""
        return (self.identity, int(self.index.pts[frame]), self.height, self.width)

    def group(self, frame: int) -> Key:
        """The name of the group of pictures from which a frame is decoded."""
        return (self.identity, self.index.key_before(frame), self.height, self.width)

    def pictures(self, frame: int) -> int:
        """Pictures from the key frame to this frame: what it costs, skipped ones included."""
        return int(self.index.rank[frame] - self.index.key_rank[self.index.key_before(frame)]) + 1


class Order:
    """Frames of one group of pictures. Thread-safe."""

    def __init__(self, view: View, group: Key, frame: int) -> None:
        self.view, self.group = view, group
        self.outcome: Future[dict[int, Frame]] = Future()
        """The frames by their number in the index, for everybody who asked."""
        self._frames = [frame]
        self._begun = False
        self._lock = threading.Lock()

    def add(self, frame: int) -> bool:
        """Ask for one more; False if it is too late."""
        with self._lock:
            if not self._begun:
                self._frames.append(frame)
            return not self._begun

    @property
    def pictures(self) -> int:
        """Pictures from the key frame to the last of the frames."""
        with self._lock:
            return max(map(self.view.pictures, self._frames))

    def begin(self) -> list[int]:
        """All that were asked for; from now on it is too late."""
        with self._lock:
            self._begun = True
            return list(self._frames)


def cut(orders: Sequence[Order], most: int) -> list[list[Order]]:
    """At most `most` parts of about as many orders each, in the same sequence."""
    count = min(most, len(orders)) or 1
    bounds = [len(orders) * i // count for i in range(count + 1)]
    return [list(orders[a:b]) for a, b in pairwise(bounds) if a < b]


def threads_for(parts: Sequence[Sequence[Order]], spare: int) -> list[int]:
    """Threads for each part: all that are to spare where the whole would wait for that part, else one."""
    sizes = [sum(order.pictures for order in part) for part in parts]
    late = MARGIN * sum(sizes) / spare
    return [spare if size > late and size >= WORTH_THREADS else 1 for size in sizes]
