"""The decoder that works everywhere: PyAV, whose wheel carries its own FFmpeg, on one or more CPU threads.

It answers for *which* frame is returned: exactly the one on show, or a good neighbour with a note. How little
needs decoding is the GOP reader's business, caching the frame store's.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter

from eva_lightning.faults import VideoError
from eva_lightning.video.container import reading
from eva_lightning.video.decoder import Decoder, Frame, Pixels
from eva_lightning.video.gop_reader import GopReader
from eva_lightning.video.header import MAX_FRAME_PIXELS, check_call, read_header, turned
from eva_lightning.video.packet_index import PacketIndex, packet_index

STEPS_BACK = (1, 8, 64)
"""Key frames by which decoding begins earlier, in turn, if a frame did not come out; then from the start."""

PATIENCE = 2000
"""Pictures that may be decoded in one call to save frames that did not come out."""

NEIGHBOURHOOD = 8
"""Key frames on either side in which a replacement for a damaged frame is looked for."""


class PyAVDecoder(Decoder):
    """Frames by PyAV, bit for bit what decoding the whole file would give."""

    def __init__(
        self,
        path: str | Path,
        *,
        max_frame_pixels: int = MAX_FRAME_PIXELS,
        index_dir: str | Path | None = None,
        threads: int = 1,
        index: PacketIndex | None = None,
    ) -> None:
        """
        Args:
            path: A video file.
            max_frame_pixels: Files with larger native frames are refused before anything is decoded.
            index_dir: Directory in which packet indexes are kept between runs; None keeps them in memory.
            threads: Threads that decode one group of pictures: sooner, for somewhat more work in all.
            index: Its packets, where they are known already.
        """
        self._path, self._max_frame_pixels = os.fspath(path), max_frame_pixels
        self._index = index or packet_index(path, index_dir)
        self._reader = GopReader(path, self._index, max_pixels=max_frame_pixels, threads=threads)
        self._scaler = VideoReformatter()
        self._replaced: dict[int, int] = {}
        self._good: dict[int, list[int]] = {}
        self._unfit: set[int] = set()  # frames that did not come out when they alone were asked for
        try:
            header = read_header(self._reader.container, path, self._index, max_frame_pixels)
            self.facts = turned(header, self._first_rotation())
        except BaseException:
            self.close()
            raise

    @property
    def pictures(self) -> int:
        """Pictures that were decoded so far, wanted or not."""
        return self._reader.pictures

    def frames(self, times: Sequence[float], height: int, width: int, *, coarse: bool = False) -> list[Frame]:
        check_call(self._path, len(times), height, width)
        asked = self._index.locate(times, coarse=coarse)
        got: dict[int, Frame] = {}
        with reading(self._path):
            wanted = {self._replaced.get(frame, frame) for frame in asked}
            self._fetch(wanted, height, width, got)
            if not self._reader.careful and (self._reader.packet_failed or not wanted <= got.keys()):
                self._read_carefully()
                self._fetch(wanted - got.keys(), height, width, got)
            lost = sorted({frame for frame in asked if self._replaced.get(frame, frame) not in got})
            if lost:
                self._save(lost, height, width, got)
        return [self._noted(frame, got) for frame in asked]

    def close(self) -> None:
        self._reader.close()

    def _fetch(
        self, frames: Collection[int], height: int, width: int, got: dict[int, Frame], back: int = 0
    ) -> set[int]:
        """Decode `frames` into `got`, one key frame at a time; returns those whose packets are torn.

        A reader that is not careful is not trusted any more once it met damage.
        """
        groups: defaultdict[int, set[int]] = defaultdict(set)
        for frame in frames:
            groups[max(self._index.key_before(frame) - back, 0)].add(frame)
        torn: set[int] = set()
        for key in sorted(groups):
            ticks = {int(self._index.pts[frame]): frame for frame in groups[key]}
            for picture in self._reader.read(key, ticks):
                frame = ticks[picture.pts]
                pixels = self._pixels(picture, height, width)
                got[frame] = Frame(time=self._index.time(frame), pixels=pixels)
            if self._reader.packet_failed:
                torn |= groups[key] - got.keys()
                if not self._reader.careful:
                    break
        return torn

    def _read_carefully(self) -> None:
        """The file is damaged: from now on take what can be had of it."""
        before = self._reader.pictures
        self._reader.close()
        self._reader = GopReader(self._path, self._index, max_pixels=self._max_frame_pixels, careful=True)
        self._reader.pictures = before

    def _save(self, lost: list[int], height: int, width: int, got: dict[int, Frame]) -> None:
        """Frames that did not come out: begin earlier, and where that does not help take a neighbour."""
        # One at a time, so that damage in one frame does not count against the others.
        limit = self._reader.pictures + PATIENCE
        for frame in lost:
            keys_before = self._index.key_before(frame)
            for back in (0, *(step for step in STEPS_BACK if step < keys_before), keys_before):
                pictures = int(self._index.rank[frame] - self._index.key_rank[keys_before - back])
                if self._reader.pictures + pictures > limit:
                    break
                torn = self._fetch({frame}, height, width, got, back)
                if frame in got or torn:
                    break
            if frame not in got:
                self._replace(frame, height, width, got)

    def _replace(self, frame: int, height: int, width: int, got: dict[int, Frame]) -> None:
        """Take the nearest good frame instead: one that comes out whoever asks for what else."""
        self._unfit.add(frame)
        for _ in range(NEIGHBOURHOOD):
            other = self._neighbour(frame, got)
            self._fetch({other} - got.keys(), height, width, got)
            if other in got:
                self._replaced[frame] = other
                return
            self._unfit.add(other)
        raise self._hopeless(frame)

    def _neighbour(self, frame: int, got: Collection[int]) -> int:
        """The good frame that is nearest in time; of those in `got` where all around is damaged."""
        home = self._index.key_before(frame)
        good: list[int] = []
        for distance in range(NEIGHBOURHOOD + 1):
            for key in sorted({home - distance, home + distance}):
                if 0 <= key < len(self._index.key_pts):
                    good += self._good_frames(key)
            # A frame further away can not win once both sides of the damage are known.
            if good and (distance or min(good) < frame < max(good)):
                break
        good = good or list(got)
        if not good:
            raise self._hopeless(frame)
        return min(good, key=lambda other: abs(self._index.seconds[other] - self._index.seconds[frame]))

    def _hopeless(self, frame: int) -> VideoError:
        return VideoError(
            f"{self._path}: nothing can be decoded around {self._index.time(frame):g} s; "
            "the file is damaged: fetch it again"
        )

    def _good_frames(self, key: int) -> list[int]:
        """Every frame between this key frame and the next that decodes without damage."""
        if key not in self._good:
            ranks, last = self._index.rank, len(self._index.key_rank) - 1
            end = self._index.key_rank[key + 1] if key < last else ranks.max() + 1
            inside = np.flatnonzero((ranks >= self._index.key_rank[key]) & (ranks < end))
            inside = inside[self._index.pts[inside] >= self._index.key_pts[key]]
            ticks = {int(self._index.pts[frame]): int(frame) for frame in inside}
            pictures = self._reader.read(key, ticks) if ticks else ()
            self._good[key] = [ticks[picture.pts] for picture in pictures]
        return [frame for frame in self._good[key] if frame not in self._unfit]

    def _noted(self, frame: int, got: dict[int, Frame]) -> Frame:
        if frame not in self._replaced:
            return got[frame]
        instead = got[self._replaced[frame]]
        note = f"the frame at {self._index.time(frame):g} s is damaged; this is the one at {instead.time:g} s"
        return Frame(time=instead.time, pixels=instead.pixels, note=note)

    def _pixels(self, picture: Any, height: int, width: int) -> Pixels:
        """Colours, size and rotation; swscale converts and resizes in one pass."""
        turns = round(picture.rotation / 90) % 4
        if turns % 2:
            height, width = width, height
        scaled = self._scaler.reformat(picture, width, height, "rgb24", interpolation="BICUBIC", threads=1)
        pixels = np.asarray(scaled.to_ndarray(), dtype=np.uint8)
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels

    def _first_rotation(self) -> int:
        """How the pictures lie, which only a decoded one tells; also proof that one can be decoded."""
        with reading(self._path):
            for key in range(min(len(self._index.key_pts), NEIGHBOURHOOD)):
                first = int(np.searchsorted(self._index.pts, self._index.key_pts[key]))
                before, ticks = self._index.key_before(first), {int(self._index.pts[first])}
                pictures = list(self._reader.read(before, ticks))
                if not pictures and not self._reader.careful:
                    self._read_carefully()
                    pictures = list(self._reader.read(before, ticks))
                if pictures:
                    return int(pictures[0].rotation)
        return 0
