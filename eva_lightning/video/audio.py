"""The sound of a range of seconds, mono, by PyAV. Nothing is kept; t = 0 is the begin of the pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from eva_lightning.faults import NoSound, VideoError
from eva_lightning.video.container import open_container, reading, video_stream
from eva_lightning.video.packet_index import packet_index

WARM_UP = 0.5
"""Seconds decoded before the range, because codecs and resampler need a run-up."""


def read_audio(path: str | Path, start: float, end: float, rate: int = 16000) -> NDArray[np.float32]:
    """The sound from `start` to `end`, in seconds from the begin of the pictures (of the sound without any).

    The range is clipped to the file: the first value is the sound at max(start, 0), silence stands for what
    comes before the sound stream, and after its end there is nothing. A damaged piece is silent.
    """
    if not (math.isfinite(start) and not math.isnan(end) and start <= end):
        raise ValueError(f"the range {start} to {end} is not made of two seconds in order")
    if rate <= 0:
        raise ValueError(f"a rate of {rate} is not positive")
    start = max(start, 0.0)
    with open_container(path) as container, reading(path):
        stream = container.streams.best("audio")
        if stream is None:
            raise NoSound(f"{path}: has no sound; give a file with an audio stream, or do not listen to it")
        if stream.codec_context is None:
            raise VideoError(
                f"{path}: there is no codec here for its sound; rewrite it: ffmpeg -i IN OUT.mp4"
            )
        origin = _origin(container, stream, path)
        pieces: list[tuple[int, NDArray[np.float32]]] = []
        for begin, piece in _pieces(container, stream, origin + start, rate):
            if begin >= origin + end:
                break
            pieces.append((round((begin - origin - start) * rate), piece))
    return _joined(pieces, math.inf if end == math.inf else round((end - start) * rate))


def _origin(container: Any, stream: Any, path: str | Path) -> float:
    """The begin of the pictures on the file's own clock; of the sound where there are no pictures."""
    try:
        video_stream(container, path)
    except VideoError:
        return float((stream.start_time or 0) * stream.time_base)
    return packet_index(path).begin


def _pieces(
    container: Any, stream: Any, start: float, rate: int
) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Resampled pieces from a little before `start` on, each with its second on the file's clock."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    first = (stream.start_time or 0) * stream.time_base
    target = max(int((start - WARM_UP) / stream.time_base), stream.start_time or 0)
    if start - WARM_UP > first:
        container.seek(target, stream=stream, backward=True)
    for frame in _decoded(container, stream):
        if frame.pts is None:
            continue
        for piece in resampler.resample(frame):
            yield _second(piece), piece.to_ndarray()[0]
    for piece in resampler.resample(None):
        yield _second(piece), piece.to_ndarray()[0]


def _second(piece: Any) -> float:
    return float((piece.pts or 0) * piece.time_base)


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Audio frames; what is damaged is left out."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except av.error.ExitError:
            raise  # late, which is no end
        except (StopIteration, av.error.FFmpegError):
            return
        try:
            yield from stream.codec_context.decode(packet if packet.size else None)
        except av.error.FFmpegError:
            continue


def _joined(pieces: list[tuple[int, NDArray[np.float32]]], length: float) -> NDArray[np.float32]:
    """Put pieces where they belong, silence in between; nothing before 0 or from `length` on."""
    last = max((at + len(piece) for at, piece in pieces), default=0)
    sound = np.zeros(max(int(min(last, length)), 0), dtype=np.float32)
    for at, piece in pieces:
        inside = piece[max(-at, 0) : max(len(sound) - at, 0)]
        begin = max(at, 0)
        sound[begin : begin + len(inside)] = inside
    return sound
