"""A world of scripts that are told and not shown: it serves the frames on show, and has no pixels.

What a teacher says of a frame it takes from the script, so a lesson of thousands of looks decodes no video.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from eva_lightning.agent.worlds.base import ClipFacts, Glimpse, World
from eva_lightning.data.synthesis.script import Script
from eva_lightning.records import Clip, FrameRef
from eva_lightning.video.frame_store import choose
from eva_lightning.video.packet_index import PacketIndex


class ToldWorld(World):
    """Clips by their ids; frames lie where those of the rendered files do."""

    def __init__(self, scripts: Iterable[Script]) -> None:
        """`scripts` are those of all files, and of the parts of them that are clips of their own."""
        self.scripts = {script.id: script for script in scripts}
        self._indexes: dict[str, PacketIndex] = {}

    def describe(self, clip: Clip) -> ClipFacts:
        script = self.scripts[clip.id]
        return ClipFacts(
            duration=float(script.duration), height=script.height, width=script.width, fps=float(script.fps)
        )

    async def look(self, clip: Clip, times: Sequence[float], height: int, width: int) -> list[Glimpse]:
        begin = clip.begin or 0.0
        end = begin + self.scripts[clip.id].duration
        index = self._index(Path(clip.path).stem)
        inside = [min(begin + max(time, 0.0), end) for time in times]
        glimpses = []
        for frame in choose(index, inside, "auto"):
            time = round(max(index.time(frame) - begin, 0.0), 6)
            ref = FrameRef(clip=clip.id, time=time, height=height, width=width, square=self.square)
            glimpses.append(Glimpse(time=time, content=ref))
        return glimpses

    def _index(self, file: str) -> PacketIndex:
        """That of a rendered file."""
        if file not in self._indexes:
            script = self.scripts[file]
            places = np.arange(script.duration * script.fps)
            keys = places % script.gop == 0
            self._indexes[file] = PacketIndex(
                pts=places,
                rank=places,
                key=keys,
                key_pts=places[keys],
                key_rank=places[keys],
                end=len(places),
                tick=1 / script.fps,
            )
        return self._indexes[file]
