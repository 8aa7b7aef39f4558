"""Proxies: smaller copies of videos in which every frame stands alone, so that any of them comes at once.

A proxy shows the frames of its video, each as long, with at most so many pixels and somewhat other values. It
is named after the content of the video, so that it follows one that is moved, and is found no more once
something else stands in that place. When a proxy is good enough is the frame store's business; exact decoding
needs none.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from eva_lightning.faults import UsageError, VideoError
from eva_lightning.video.container import open_container, reading, video_stream
from eva_lightning.video.decoder import VideoFacts
from eva_lightning.video.identity import Identity
from eva_lightning.video.opening import open_decoder
from eva_lightning.video.packet_index import EPSILON, PacketIndex, packet_index

ENCODER = {"preset": "veryfast", "tune": "fastdecode", "crf": "21", "g": "1", "bf": "0"}
"""H.264 of key frames alone, made to be decoded fast, of a quality at which one hardly sees a difference."""

SAMPLE = 64 << 10
"""Bytes of each piece by which content is told."""

SAMPLES = 16
"""Pieces, from the begin to the end of a file."""


class Proxies:
    """A folder of proxies, or none. Thread-safe."""

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder).expanduser()
        if self.folder is not None and not self.folder.is_dir():
            raise UsageError(f"{folder}: is no folder of proxies; eva prepare --proxies {folder} makes one")
        self._lock = threading.Lock()  # guards what follows
        self._known: dict[Identity, tuple[Path, ...]] = {}

    def of(self, video: Identity) -> tuple[Path, ...]:
        """The proxies of a video, the smallest first; they are looked for once."""
        if self.folder is None:
            return ()
        with self._lock:
            if video in self._known:
                return self._known[video]
        found = sorted(self.folder.glob(f"{content(video[0])}-*.mp4"), key=_pixels_of)
        with self._lock:
            self._known[video] = tuple(found)
        return tuple(found)

    def named(self, video: Identity, name: str) -> Path:
        """The proxy of that name; VideoError if it is not there, or is another video's."""
        for file in self.of(video):
            if file.stem == name:
                return file
        if self.folder is None:
            lacks = "and no folder of proxies was named; give it to the store of the world (proxies)"
        else:
            lacks = f"which is not in {self.folder}, or the video was replaced; eva prepare makes it"
        raise VideoError(f"{video[0]}: what was shown came from its proxy {name}, {lacks}")


def proxy_name(video: str | Path, pixels: int) -> str:
    """The name of the proxy of a video with so many pixels at most, as frames say it: content, pixels."""
    return f"{content(video)}-{pixels}"


def content(video: str | Path) -> str:
    """What tells the content of a file from any other: its size, and pieces from begin to end."""
    with reading(video), open(video, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        known = hashlib.sha256(str(size).encode())
        for piece in range(SAMPLES):
            file.seek(max(size - SAMPLE, 0) * piece // (SAMPLES - 1))
            known.update(file.read(SAMPLE))
    return known.hexdigest()[:16]


def refuse_others(video: str, index: PacketIndex, proxy: str, own: PacketIndex) -> None:
    """VideoError unless a proxy has the frames of its video, each at its time."""
    if len(own) != len(index) or np.abs(own.seconds - index.seconds).max() > EPSILON:
        raise VideoError(
            f"{proxy}: its frames are not those of {video}; delete it: eva prepare --proxies makes it again"
        )


def proxy_size(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Height and width, even, of about the same shape and with at most so many pixels; never larger.

    >>> proxy_size(360, 640, 57_600), proxy_size(720, 1280, 10**9), proxy_size(101, 33, 10**9)
    ((180, 320), (720, 1280), (100, 32))
    """
    scale = min(1.0, (pixels / (height * width)) ** 0.5)
    return max(2, int(height * scale + EPSILON) // 2 * 2), max(2, int(width * scale + EPSILON) // 2 * 2)


def make_proxy(video: str | Path, to: Path, pixels: int) -> None:
    """Write the proxy of a video; VideoError for one of which not every frame comes out."""
    with open_decoder(video, "pyav") as decoder:
        facts = decoder.facts
    index = packet_index(video)
    height, width = proxy_size(facts.height, facts.width, pixels)
    with av.open(str(to), "w", format="mp4") as made:  # what goes wrong with it is the disk's business
        ticks, stream = _stream(made, facts, index, height, width)
        shown = 0
        for picture in _pictures(video, index):
            frame = _shrunk(picture, height, width)
            frame.pts = (picture.pts - int(index.pts[0])) * ticks.numerator
            frame.time_base = stream.codec_context.time_base
            if not shown:
                stream.codec_context.colorspace = frame.colorspace
                stream.codec_context.color_range = frame.color_range
            made.mux(stream.encode(frame))
            shown += 1
        made.mux(stream.encode())
    if shown < len(index):
        raise VideoError(f"{video}: {len(index) - shown} of its {len(index)} frames do not come out")
    refuse_others(str(video), index, str(to), packet_index(to))


def _stream(
    made: Any, facts: VideoFacts, index: PacketIndex, height: int, width: int
) -> tuple[Fraction, Any]:
    """Where the frames go, and seconds a tick. Its clock counts in the video's own ticks."""
    ticks = Fraction(index.tick).limit_denominator(1_000_000)
    stream = made.add_stream(
        "libx264", rate=Fraction(facts.fps or 1).limit_denominator(1000), options=ENCODER
    )
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    stream.codec_context.time_base = stream.time_base = Fraction(1, ticks.denominator)
    return ticks, stream


def _pictures(video: str | Path, index: PacketIndex) -> Iterator[Any]:
    """All frames that are ever shown, in order."""
    with reading(video), open_container(video, generated=index.generated) as container:
        stream = video_stream(container, video)
        stream.thread_type = "AUTO"
        for picture in container.decode(stream):
            if picture.pts is not None and index.position(picture.pts) is not None:
                yield picture


def _shrunk(picture: Any, height: int, width: int) -> Any:
    """Size and rotation."""
    turns = round(picture.rotation / 90) % 4
    if not turns:
        return _scaled(picture, width, height, "yuv420p")
    upright = (width, height) if turns == 2 else (height, width)
    pixels = np.rot90(_scaled(picture, *upright, "rgb24").to_ndarray(), turns)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
    return _scaled(frame, width, height, "yuv420p")


def _scaled(picture: Any, width: int, height: int, kind: str) -> Any:
    return VideoReformatter().reformat(picture, width, height, kind, interpolation="BICUBIC", threads=1)


def _pixels_of(proxy: Path) -> int:
    number = proxy.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
