"""Worlds: what an agent can perceive.

A world answers `look`, `listen` and `tell`; it is given clips, never tasks, so no gold answer.

Which seconds to look at, and how large, is the tool's business; how the answer is spelled is the dialect's.
They are coroutines, because a world may ask an engine; one that decodes does so in a thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eva_lightning.faults import Fault
from eva_lightning.records import PATCH, Clip, FrameRef
from eva_lightning.video.decoder import Pixels
from eva_lightning.video.quarantine import Quarantine


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """What an agent may know of a clip before it looks."""

    duration: float
    """Length in seconds."""
    height: int | None = None
    """Native height in pixels, as displayed; None where there are no pictures."""
    width: int | None = None
    """Native width in pixels, as displayed; None where there are no pictures."""
    fps: float | None = None
    """Mean frames per second; None where there are no pictures."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width; None where there are no pictures."""
        return None if self.height is None or self.width is None else (self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class Glimpse:
    """What was perceived at one moment."""

    time: float
    """The true moment, in seconds from the clip's begin."""
    content: FrameRef | str
    """A frame, or words where the world is made of words."""
    note: str = ""
    """What the viewer must know, for example that the frame is a neighbour of a damaged one."""
    label: float | None = None
    """The time to be written on it if that is not its own: what the released evaluator does."""


@dataclass(frozen=True, kw_only=True)
class Sound:
    """What was heard in a range of seconds."""

    start: float
    """First second, clip-relative."""
    end: float
    """Last second, clip-relative."""
    rate: int = 16000
    """Frames of sound a second."""
    waveform: NDArray[np.float32] | None = None
    """Mono, between -1 and 1; None where the world is made of words."""
    text: str = ""
    """What is heard, in words, where the world knows it."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Moments of one clip, and how large."""

    clip: Clip
    """Which clip."""
    times: tuple[float, ...]
    """Seconds from its begin."""
    height: int | None = None
    """Pixels; None where there are no pictures."""
    width: int | None = None
    """Pixels; None where there are no pictures."""
    square: int = PATCH
    """Side in pixels of the square that one visual token covers, for whoever looks."""

    @property
    def visual_tokens(self) -> int:
        """What its frames cost whoever looks at them; none where there are no pictures."""
        if self.height is None or self.width is None:
            return 0
        return len(self.times) * (self.height // self.square) * (self.width // self.square)


class World(ABC):
    """The seam between an agent and what it perceives."""

    has_pictures: bool = True
    """Whether there are frames to look at. A world of words says False: its clips have a length alone, and no
    agent whose tools or overview want frames is let into it."""
    square: int = PATCH
    """Side in pixels of the square that one visual token covers, for whoever looks: sizes are multiples of
    it. An agent sets it by its model."""

    @abstractmethod
    def describe(self, clip: Clip) -> ClipFacts:
        """Length and size of a clip, without decoding anything. May open a file; call it in a thread."""

    @abstractmethod
    async def look(self, clip: Clip, times: Sequence[float], height: int, width: int) -> list[Glimpse]:
        """One glimpse for each time, in order."""

    async def listen(self, clip: Clip, start: float, end: float) -> Sound:
        """The sound of a range of seconds."""
        raise Fault(f"{type(self).__name__} has no sound; leave out the tools that listen")

    def viewing(self, clip: Clip, times: Sequence[float]) -> Look:
        """The look that `tell` is given for some moments: as large as whoever tells of them reads them."""
        return Look(clip=clip, times=tuple(times), square=self.square)

    @property
    def has_words(self) -> bool:
        """Whether it can tell what it shows; no agent whose tools want words is let into one that can not."""
        return type(self).tell is not World.tell

    async def tell(self, looks: Sequence[Look], focus: str) -> str:
        """What some looks show, in words, with a question in mind."""
        raise Fault(f"{type(self).__name__} has no words for what it shows; give a world that has")

    def pixels(self, clip: Clip, frame: FrameRef) -> Pixels:
        """The pixels of a frame that `look` returned: the same bytes, whenever it is asked."""
        raise Fault(f"{type(self).__name__} has no pictures, so there is no frame to read")

    def reader(self, clips: Sequence[Clip]) -> Callable[[FrameRef], Pixels]:
        """Reads the frames of several clips again, each from its own."""
        known = {clip.id: clip for clip in clips}
        return lambda frame: self.pixels(known[frame.clip], frame)

    def prefetch(self, clip: Clip, times: Sequence[float], height: int, width: int) -> None:
        """A hint that `look` will be asked for these; worlds that read nothing ignore it."""

    @property
    def quarantine(self) -> Quarantine | None:
        """The files that it does not open any more; None in a world that opens none."""
        return None

    @property
    def proxies(self) -> str | None:
        """The folder of smaller copies that it may look at; None where it looks at the videos themselves."""
        return None

    def facts(self) -> dict[str, Any]:
        """What decides what it shows, as JSON can say it: a run that goes on compares it."""
        return {}

    def close(self) -> None:
        """Give back files and threads."""
