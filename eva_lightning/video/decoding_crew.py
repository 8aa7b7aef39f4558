"""Decodes the frames of one call on several threads: each group of pictures can be decoded by itself.

A call never waits for a helper that has not begun: the caller's own thread takes back whatever no helper has
started, so a busy crew costs nothing. Threads only; which frames to decode and what becomes of them is the
frame store's business.
"""

from __future__ import annotations

import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

from eva_lightning.faults import VideoError
from eva_lightning.video.decoder import Frame
from eva_lightning.video.decoder_pool import DecoderPool
from eva_lightning.video.packet_index import Identity, PacketIndex

PARTS_EACH = 3
"""Parts of a call for each thread; several, because some groups take longer than others."""

Decoded = tuple[dict[int, Frame], float]
"""Frames by their number in the index, and the seconds that decoders were busy."""


class DecodingCrew:
    """The caller's thread and a few helpers. Thread-safe."""

    def __init__(self, pool: DecoderPool, helpers: int) -> None:
        self._pool = pool
        self._helpers = helpers
        self._threads = ThreadPoolExecutor(helpers, thread_name_prefix="decode") if helpers > 0 else None

    def decode(
        self, identity: Identity, index: PacketIndex, frames: list[int], height: int, width: int
    ) -> Decoded:
        """All of `frames`, decoded side by side where they lie in several groups of pictures."""
        parts = _parts(index, frames, PARTS_EACH * (self._helpers + 1))
        if self._threads is None or len(parts) == 1:
            return self._part(identity, index, frames, height, width)
        tasks: list[tuple[list[int], Future[Decoded]]] = []
        try:
            for part in parts[1:]:
                tasks.append((part, self._threads.submit(self._part, identity, index, part, height, width)))
        except RuntimeError:  # closed while this call was on its way
            self._cancel(tasks)
            return self._part(identity, index, frames, height, width)
        try:
            results = [self._part(identity, index, parts[0], height, width)]
            for part, task in reversed(tasks):  # helpers begin with the first ones
                if task.cancel():
                    results.append(self._part(identity, index, part, height, width))
            results += [task.result() for _, task in tasks if not task.cancelled()]
        except VideoError:  # a part without one good frame may find a neighbour in another part
            self._cancel(tasks)
            return self._part(identity, index, frames, height, width)
        except BaseException:
            self._cancel(tasks)
            raise
        together = {frame: shown for part_frames, _ in results for frame, shown in part_frames.items()}
        return together, sum(seconds for _, seconds in results)

    def close(self) -> None:
        """Let the helpers finish what they began."""
        if self._threads is not None:
            self._threads.shutdown()

    def _part(
        self, identity: Identity, index: PacketIndex, frames: list[int], height: int, width: int
    ) -> Decoded:
        with self._pool.borrow(identity) as decoder:
            began = time.perf_counter()
            shown = decoder.frames([index.time(frame) for frame in frames], height, width)
            return dict(zip(frames, shown, strict=True)), time.perf_counter() - began

    @staticmethod
    def _cancel(tasks: list[tuple[list[int], Future[Decoded]]]) -> None:
        for _, task in tasks:
            task.cancel()


def _parts(index: PacketIndex, frames: list[int], most: int) -> list[list[int]]:
    """Cut frames into at most `most` runs; a group of pictures is never cut, or it would be decoded twice."""
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for frame in sorted(frames):
        groups[index.key_before(frame)].append(frame)
    runs = [groups[key] for key in sorted(groups)]
    count = min(most, len(runs))
    bounds = [len(runs) * i // count for i in range(count + 1)]
    return [[f for run in runs[a:b] for f in run] for a, b in pairwise(bounds)]
