"""The world made of video files: clip seconds become file seconds, frames come from one shared FrameStore.

It holds no pixels itself and knows nothing of questions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from eva_lightning.agent.worlds.base import ClipFacts, Glimpse, Sound, World
from eva_lightning.faults import VideoError
from eva_lightning.records import Clip, FrameRef
from eva_lightning.video.decoder import Pixels
from eva_lightning.video.frame_store import FrameStore
from eva_lightning.video.quarantine import Quarantine


class VideoWorld(World):
    """Looks at and listens to real files."""

    def __init__(self, store: FrameStore | None = None) -> None:
        """
        Args:
            store: Decoders and frame cache, shared by every trajectory; None makes one with the defaults.
        """
        self.store = store or FrameStore()

    def describe(self, clip: Clip) -> ClipFacts:
        facts = self.store.facts(clip.path)
        begin, end = _bounds(clip, facts.duration)
        return ClipFacts(duration=end - begin, height=facts.height, width=facts.width, fps=facts.fps)

    async def look(self, clip: Clip, times: Sequence[float], height: int, width: int) -> list[Glimpse]:
        return await asyncio.to_thread(self._decode, clip, times, height, width)

    def _decode(self, clip: Clip, times: Sequence[float], height: int, width: int) -> list[Glimpse]:
        begin, end = _bounds(clip, self.store.facts(clip.path).duration)
        inside = [min(begin + max(time, 0.0), end) for time in times]
        glimpses = []
        for frame in self.store.frames(clip.path, inside, height, width):
            # The frame on show when the clip begins may have started a little earlier.
            time = round(max(frame.time - begin, 0.0), 6)
            size = {"height": height, "width": width, "square": self.square}
            ref = FrameRef(clip=clip.id, time=time, proxy=frame.proxy, **size)
            glimpses.append(Glimpse(time=time, content=ref, note=frame.note))
        return glimpses

    def pixels(self, clip: Clip, frame: FrameRef) -> Pixels:
        begin = clip.begin or 0.0
        time = begin + frame.time
        return self.store.read(clip.path, time, frame.height, frame.width, frame.proxy).pixels

    async def listen(self, clip: Clip, start: float, end: float) -> Sound:
        return await asyncio.to_thread(self._hear, clip, start, end)

    def _hear(self, clip: Clip, start: float, end: float) -> Sound:
        begin, last = _bounds(clip, self.store.facts(clip.path).duration)
        start, end = max(start, 0.0), min(end, last - begin)
        return Sound(start=start, end=end, waveform=self.store.sound(clip.path, begin + start, begin + end))

    def prefetch(self, clip: Clip, times: Sequence[float], height: int, width: int) -> None:
        begin = clip.begin or 0.0
        self.store.prefetch(clip.path, [begin + time for time in times], height, width)

    @property
    def quarantine(self) -> Quarantine:
        return self.store.quarantine

    @property
    def proxies(self) -> str | None:
        folder = self.store.proxies.folder
        return None if folder is None else str(folder)

    def close(self) -> None:
        self.store.close()


def _bounds(clip: Clip, duration: float) -> tuple[float, float]:
    begin, end = clip.begin or 0.0, duration if clip.end is None else min(clip.end, duration)
    if begin >= end:
        raise VideoError(
            f"{clip.path}: clip {clip.id!r} begins at {begin:g} s, but the file ends at {duration:g} s"
        )
    return begin, end
