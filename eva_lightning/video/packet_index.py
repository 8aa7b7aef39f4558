"""The packet index: which frames a video has, when each is shown and where decoding may begin.

It is found by reading packets only.

Nothing is decoded here and no pixels pass. An index costs about 0.3 s for an hour of video, is kept in memory
(keyed by path, modification time and size, so a changed file is read again), and can be kept on disk as well.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from eva_lightning.faults import VideoError
from eva_lightning.video.container import open_container, reading, video_stream
from eva_lightning.video.identity import Identity, file_identity

EPSILON = 1e-6
"""A reported time is rounded to the microsecond; asking for it again must find the same frame."""

MEMORY_FRAMES = 12_000_000
"""Frames of all indexes in memory: 128 of an hour at 25 a second, 2.3 MB each, or thousands of short ones."""

MAX_REORDER = 64
"""Frames are shown at most 16 places from where they are stored; more means the clock jumped."""

ARRAYS = ("pts", "rank", "key", "key_pts", "key_rank")
"""The fields of an index that are arrays."""

_FORMAT = 1
_lock = threading.Lock()
_memory: OrderedDict[Identity, PacketIndex] = OrderedDict()
_building: dict[Identity, threading.Lock] = {}


@dataclass(frozen=True, kw_only=True, eq=False)
class PacketIndex:
    """The frames of a stream in the order they are shown, and its key frames in the order they are stored."""

    pts: NDArray[np.int64]
    """When each frame begins to be shown, in ticks; strictly increasing."""
    rank: NDArray[np.int64]
    """Where each frame is stored: its packet's number, counted from the file's first."""
    key: NDArray[np.bool_]
    """True where decoding may begin."""
    key_pts: NDArray[np.int64]
    """Ticks of every packet from which decoding may begin, also of those an edit list hides."""
    key_rank: NDArray[np.int64]
    """Where those are stored."""
    end: int
    """Tick at which the last frame ends."""
    tick: float
    """Seconds a tick."""
    generated: bool = False
    """True if the file carries no times for some packets and FFmpeg had to derive them."""

    def __post_init__(self) -> None:
        if not len(self.pts) or not len(self.key_pts):
            raise ValueError("an index needs a frame and a key frame")

    def __len__(self) -> int:
        return len(self.pts)

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """When each frame begins to be shown, in seconds from the stream's begin."""
        return np.asarray((self.pts - self.pts[0]) * self.tick, dtype=np.float64)

    @property
    def begin(self) -> float:
        """The stream's begin on the file's own clock, in seconds."""
        return float(self.pts[0]) * self.tick

    @property
    def duration(self) -> float:
        return float(self.end - int(self.pts[0])) * self.tick

    @property
    def gop(self) -> float:
        """Median seconds between key frames."""
        if len(self.key_pts) < 2:
            return self.duration
        return float(np.median(np.diff(self.key_pts))) * self.tick

    @property
    def open_groups(self) -> bool:
        """Whether a frame is stored behind a key frame and shown before it: open groups of pictures."""
        stored_behind = np.searchsorted(self.key_rank, self.rank, side="right") - 1
        return bool(np.any((stored_behind >= 0) & (self.key_pts[stored_behind] > self.pts)))

    def time(self, frame: int) -> float:
        """The time reported for a frame."""
        return round(float(self.seconds[frame]), 6)

    def locate(self, times: Sequence[float], *, coarse: bool = False) -> list[int]:
        """The frame shown at each time, or the nearest key frame; times outside the stream are clamped."""
        asked = np.asarray(times, dtype=np.float64)
        if not np.isfinite(asked).all():
            raise ValueError(f"times must be finite numbers of seconds, not {list(times)}")
        if coarse and self.key.any():
            keys = np.flatnonzero(self.key)
            middles = (self.seconds[keys][1:] + self.seconds[keys][:-1]) / 2
            return [int(k) for k in keys[np.searchsorted(middles, asked, side="left")]]
        found = np.searchsorted(self.seconds, asked + EPSILON, side="right") - 1
        return [int(frame) for frame in found.clip(0, len(self) - 1)]

    def position(self, pts: int) -> int | None:
        """The frame with exactly these ticks, if there is one."""
        frame = int(np.searchsorted(self.pts, pts))
        return frame if frame < len(self) and self.pts[frame] == pts else None

    def key_before(self, frame: int) -> int:
        """Number of the key packet from which this frame is decoded."""
        key = int(np.searchsorted(self.key_pts, self.pts[frame], side="right")) - 1
        while key > 0 and self.key_rank[key] > self.rank[frame]:
            key -= 1
        return max(key, 0)


def packet_index(
    path: str | Path,
    cache_dir: str | Path | None = None,
    build: Callable[[str | Path], PacketIndex] | None = None,
) -> PacketIndex:
    """The index of a file: from memory, from `cache_dir`, or by reading the file's packets once.

    `build` reads them; None is `build_index`, here and now.
    """
    identity = file_identity(path)
    with _lock:
        if identity in _memory:
            _memory.move_to_end(identity)
            return _memory[identity]
        building = _building.setdefault(identity, threading.Lock())
    with building:  # eight rollouts that meet a new video at once read it once
        with _lock:
            if identity in _memory:
                return _memory[identity]
        try:
            stored = Path(cache_dir) / _file_name(identity) if cache_dir is not None else None
            index = _load(stored) if stored is not None else None
            if index is None:
                index = (build or build_index)(path)
                if stored is not None:
                    _save(stored, index)
            with _lock:
                _memory[identity] = index
                while len(_memory) > 1 and sum(map(len, _memory.values())) > MEMORY_FRAMES:
                    _memory.popitem(last=False)
        finally:
            with _lock:
                _building.pop(identity, None)
    return index


def build_index(path: str | Path) -> PacketIndex:
    """Read all packets of the video stream once."""
    with reading(path):
        for generated in (False, True):
            with open_container(path, generated=generated) as container:
                stream = video_stream(container, path)
                tick = float(stream.time_base)
                rows, untimed = _read_packets(container, stream)
            if not untimed:
                break
    if not rows:
        raise VideoError(
            f"{path}: holds no frames that carry a time; rewrite it: ffmpeg -i IN -c:v libx264 OUT.mp4"
        )
    if untimed:
        raise VideoError(
            f"{path}: {untimed} of its frames carry no time; rewrite it: ffmpeg -i IN -c:v libx264 OUT.mp4"
        )
    return _assemble(path, np.array(rows, dtype=np.int64), tick, generated)


def _read_packets(container: Any, stream: Any) -> tuple[list[tuple[int, int, int, int, int]], int]:
    """(pts, rank, duration, key, hidden) of each packet, and how many have no pts. A torn end ends it."""
    rows: list[tuple[int, int, int, int, int]] = []
    untimed = rank = 0
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.pts is None:
                untimed += 1
            else:
                flags = int(packet.is_keyframe), int(packet.is_discard)
                rows.append((packet.pts, rank, packet.duration or 0, *flags))
            rank += 1
    except av.error.ExitError:
        raise  # late, which is no end
    except av.error.FFmpegError:
        if not rows:
            raise
    return rows, untimed


def _assemble(path: str | Path, rows: NDArray[np.int64], tick: float, generated: bool) -> PacketIndex:
    pts, rank, duration, key, hidden = rows.T
    if not key.any():
        key = (np.arange(len(rows)) == 0).astype(np.int64)  # some writers flag none: begin at the begin
    keys = rows[key == 1]
    keys = keys[np.unique(keys[:, 0], return_index=True)[1]]
    # Frames before the first key frame can not be decoded; frames outside an edit list are never shown.
    shown = np.flatnonzero((hidden == 0) & (pts >= keys[0, 0]))
    unique, first = np.unique(pts[shown], return_index=True)  # of two packets with one time the first counts
    shown = shown[first]
    if not len(shown):
        raise VideoError(f"{path}: holds no frame that is ever shown; rewrite it: ffmpeg -i IN OUT.mp4")
    stored = rank[shown]
    if int(np.abs(np.argsort(np.argsort(stored)) - np.arange(len(shown))).max()) > MAX_REORDER:
        raise VideoError(
            f"{path}: its clock runs backwards in the middle; rewrite it: ffmpeg -i IN -c:v libx264 OUT.mp4"
        )
    typical = int(np.median(np.diff(unique))) if len(unique) > 1 else max(round(0.04 / tick), 1)
    return PacketIndex(
        pts=unique,
        rank=stored,
        key=key[shown] == 1,
        key_pts=keys[:, 0].copy(),
        key_rank=keys[:, 1].copy(),
        end=int(unique[-1]) + (int(duration[shown[-1]]) or typical),
        tick=tick,
        generated=generated,
    )


def _file_name(identity: Identity) -> str:
    return hashlib.sha256(repr((_FORMAT, *identity)).encode()).hexdigest()[:32] + ".npz"


def _load(stored: Path) -> PacketIndex | None:
    """A stored index, or None where there is none that can be read."""
    try:
        with np.load(stored, allow_pickle=False) as arrays:
            scalars = arrays["scalars"]
            return PacketIndex(
                **{name: arrays[name] for name in ARRAYS},
                end=int(arrays["end"]),
                tick=float(scalars[0]),
                generated=bool(scalars[1]),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _save(stored: Path, index: PacketIndex) -> None:
    """Write beside, then rename: two processes may do this at once.

    A full disk is no reason to fail. `files.atomic` is not for here: `video` and `files` know nothing of each
    other, and this may be lost.
    """
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=stored.parent, suffix=".part", delete=False) as part:
            np.savez(
                part,
                **{name: getattr(index, name) for name in ARRAYS},
                end=np.int64(index.end),
                scalars=np.array([index.tick, float(index.generated)]),
            )
        os.replace(part.name, stored)
    except OSError:
        return
