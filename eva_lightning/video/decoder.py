"""Decoders: what each of them promises, whichever library does the work.

Time here counts in seconds from the begin of the *video stream* (t = 0), whatever its first timestamp is. A
frame is the right one for `t` if its presentation interval covers `t`; decoders check that and never return
another one silently. Clips with a begin and an end inside a file are the world's business, caching is the
frame store's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Device = Literal["auto", "pyav", "torchcodec-cpu", "cpu", "cuda"]
"""Which decoder: see `opening.open_decoder`."""

Pixels = NDArray[np.uint8]
"""One frame: height x width x 3, RGB, uint8."""


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What is known of a video stream once it is open."""

    path: str
    """File."""
    duration: float
    """Seconds from the begin of the first frame to the end of the last one."""
    height: int
    """Height as displayed (after rotation), in pixels."""
    width: int
    """Width as displayed (after rotation), in pixels."""
    fps: float
    """Mean frames per second."""
    frames: int
    """Number of frames in the stream."""
    gop: float
    """Median seconds between key frames."""
    codec: str
    """Name of the codec, for messages."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One decoded frame."""

    time: float
    """When it begins to be shown, in seconds from the stream's begin, rounded to the microsecond."""
    pixels: Pixels
    """RGB, uint8, at the size that was asked for."""
    note: str = ""
    """Set if it is not the frame that was asked for (a neighbour of a damaged one), in words for the
    viewer."""
    proxy: str = ""
    """Name of the proxy that it came from; empty for the video itself."""


class Decoder(ABC):
    """One open video. Not thread-safe: the frame store holds one lock for each."""

    facts: VideoFacts

    @abstractmethod
    def frames(self, times: Sequence[float], height: int, width: int, *, coarse: bool = False) -> list[Frame]:
        """The frames shown at `times`, resized to height x width, in the order asked.

        Times may come in any order and repeat.

        Times outside the stream are clamped to it. With `coarse` the nearest key frame is taken instead, and
        its own time is reported. A damaged frame is replaced by its nearest good neighbour, with a note;
        VideoError only if no frame can be had.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the file back."""

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
