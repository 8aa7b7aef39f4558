"""The reader of single pictures out of a video, with as little decoding as can be, and exactly.

A picture is decoded from the key frame before it. Pictures on the way that nothing refers to are skipped, and
once the last wanted packet is in, the decoder is drained instead of fed: neither changes a bit of what comes
out. Whoever steps forward through a video is noticed at the second call and then served without seeking.
Which pictures are wanted, how large they are shown and what to do without one is the decoder's business.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import av

from eva_lightning.faults import VideoError
from eva_lightning.video.container import open_container, reading, video_stream
from eva_lightning.video.packet_index import PacketIndex
from eva_lightning.video.skipping import nothing_refers_to, skips_exactly, unit_length_bytes

LOOKAHEAD = 64
"""Packets fed beyond the last wanted one before it is given up; reordering needs at most 16."""


class GopReader:
    """One open stream and where it stands. Not thread-safe."""

    _packets: Iterator[Any] | None  # what comes next; None after a drain
    _key: int  # key packet from which it decodes
    _fed: int  # rank of the packet fed last
    _torn: int | None  # rank of the first packet that the codec refused
    _coming: set[int]  # ticks of pictures fed but not out
    _recent: dict[int, Any]  # pictures that came out before anybody asked
    _linger: bool  # somebody steps forward through the video: stay, do not drain
    _last_wanted: int  # ticks
    _mode: str  # what the codec skips now
    _skippable: bool  # whether something can be left out
    _length_bytes: int  # of units in H.264 packets that can be left out by what they say; else 0

    def __init__(
        self,
        path: str | Path,
        index: PacketIndex,
        *,
        max_pixels: int,
        threads: int = 1,
        careful: bool = False,
    ) -> None:
        """
        Args:
            path: A video file.
            index: Its packets.
            max_pixels: Larger pictures are refused.
            threads: Threads that decode pictures which follow each other; one for H.264 in open groups.
            careful: For damaged files: decode every picture, on one thread, so that damage is painted over as
                in decoding the whole file. Else the codec refuses what it finds damaged, and of the rest of
                that group of pictures nothing comes out.
        """
        self._path = os.fspath(path)
        self._index = index
        self._max_pixels = max_pixels
        self._threads = threads
        self.careful = careful
        self.pictures = 0
        """Pictures the codec has put out so far: what the answers cost."""
        self.packet_failed = False
        """Whether the codec refused a packet in the last `read`."""
        self.container: Any = None
        """The open file."""
        self._open()

    def close(self) -> None:
        self._forget()
        if self.container is not None:
            self.container.close()
            self.container = None

    def read(self, key: int, wanted: Collection[int]) -> Iterator[Any]:
        """The pictures among `wanted` (ticks) that are good, decoded from key packet number `key`.

        Pictures that are missing at the end could not be decoded from there.
        """
        ranks = {pts: self._rank(pts) for pts in wanted}
        ahead = key == self._key and min(wanted) > self._last_wanted
        linger = ahead or (self._linger and key == self._key + 1)
        if not (ahead and self._within_reach(ranks)) and not self._start(key):
            self.packet_failed = False
            return
        self._linger, self._last_wanted = linger, max(wanted)
        left = set(wanted)
        for picture in list(self._recent.values()):
            if picture.pts in left:
                left.discard(picture.pts)
                yield picture
        yield from self._feed(left)

    def _feed(self, left: set[int]) -> Iterator[Any]:
        """Feed packets until every wanted picture is out; they come out in the order they are shown."""
        unfed, beyond = left - self._coming, 0
        while left:
            packet = next(self._packets, None) if self._packets is not None else None
            if packet is None or packet.size == 0:
                yield from self._drain(left)
                return
            self._fed += 1
            beyond += not unfed  # lingering: the next call may want these
            whole = not unfed or not self._skippable or packet.pts in unfed
            if not whole and self._stands_alone(packet):
                continue
            whole = whole or self._length_bytes > 0
            mode = "DEFAULT" if whole else "NONREF"
            if mode != self._mode:
                self._context.skip_frame = self._mode = mode
            if whole and packet.pts is not None:
                self._coming.add(packet.pts)
            unfed.discard(packet.pts)
            yield from self._good(self._decode(packet), left)
            if not unfed and (not self._linger or beyond > LOOKAHEAD):
                yield from self._drain(left)
                return

    def _drain(self, left: set[int]) -> Iterator[Any]:
        """Everything that is still inside the codec; after this only a seek can go on."""
        pictures = self._decode(None)
        fate = self._good(pictures, left)
        self._packets = None
        yield from fate

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return list(self._context.decode(packet))
        except av.error.FFmpegError:
            self.packet_failed = True
            if self._threads > 1:
                self._torn = 0  # threads are late in telling which packet it was
            elif self._torn is None and not self._stands_alone(packet):
                # What follows may refer to what was lost, and the codec then invents pictures without a word.
                self._torn = self._fed
            return []

    def _stands_alone(self, packet: Any) -> bool:
        """Whether a packet says of itself that nothing refers to it."""
        return packet is not None and self._length_bytes > 0 and nothing_refers_to(packet, self._length_bytes)

    def _good(self, pictures: list[Any], left: set[int]) -> Iterator[Any]:
        """The wanted ones among `pictures` that are whole; what comes too early is kept for the next call."""
        self.pictures += len(pictures)
        for picture in pictures:
            self._coming.discard(picture.pts)
            if picture.pts is None or picture.is_corrupt:
                continue
            if self._torn is not None and self._rank(picture.pts) >= self._torn:
                continue
            if picture.pts in left:
                left.discard(picture.pts)
                yield picture
            elif self._linger:
                self._recent[picture.pts] = picture
                while len(self._recent) > 8:
                    self._recent.pop(next(iter(self._recent)))

    def _within_reach(self, ranks: dict[int, int]) -> bool:
        """Whether everything wanted lies ahead, so that no seek is needed."""
        return self._packets is not None and all(
            rank > self._fed or pts in self._coming or pts in self._recent for pts, rank in ranks.items()
        )

    def _start(self, key: int) -> bool:
        """Stand right before key packet number `key`: seek there, else seek further back, else walk there."""
        pts = int(self._index.key_pts[key])
        for target in (key, max(key - 1, 0), None):
            self._forget()
            try:
                if target is None:
                    self._open()
                else:
                    ticks = int(self._index.key_pts[target])
                    self.container.seek(ticks, stream=self._stream, backward=True, any_frame=False)
                packets = self.container.demux(self._stream)
                first = self._walk(packets, pts, int(self._index.key_rank[key]))
            except av.error.ExitError:
                raise  # late, which the decoder tells
            except av.error.FFmpegError:
                continue
            if first is not None:
                self._key, self._fed = key, int(self._index.key_rank[key]) - 1
                self._packets = _chain(first, packets)
                return True
        return False

    def _walk(self, packets: Iterator[Any], pts: int, rank: int) -> Any | None:
        """Pass over packets, undecoded, until the key packet; None if the seek landed behind it."""
        for packet in packets:
            if packet.pts == pts and (packet.is_keyframe or rank == 0):
                return packet
            if packet.pts is not None and self._rank(packet.pts) > rank:
                return None
        return None

    def _rank(self, pts: int) -> int:
        """Where the frame with these ticks is stored; -1 for one that is not in the index."""
        frame = self._index.position(pts)
        return -1 if frame is None else int(self._index.rank[frame])

    def _forget(self) -> None:
        self._packets = None
        self._recent = {}
        self._coming = set()
        self._key, self._fed, self._last_wanted, self._linger = -2, -1, 0, False
        self._torn = None
        self.packet_failed = False

    def _open(self) -> None:
        if self.container is not None:
            self.container.close()
        self.container = open_container(self._path, generated=self._index.generated)
        try:
            self._prepare()
        except BaseException:
            self.container.close()
            raise

    def _prepare(self) -> None:
        with reading(self._path):
            self._stream = video_stream(self.container, self._path)
            self._context = self._stream.codec_context
        if self._context is None:
            raise VideoError(f"{self._path}: FFmpeg here has no decoder for it; rewrite it with H.264")
        # After a seek into an open group H.264 is told to forget pictures it never had, which is no damage.
        strict = not self.careful and not (self._context.name == "h264" and self._index.open_groups)
        if not strict:
            self._threads = 1
        self._context.thread_count = self._threads
        self._context.thread_type = "SLICE" if self._threads == 1 else "FRAME"
        # A file may announce a small picture and hold a huge one.
        options = {"max_pixels": str(self._max_pixels)}
        if strict:
            options["err_detect"] = "explode"
        self._context.options = {**self._context.options, **options}
        self._mode = "DEFAULT"
        self._context.skip_frame = self._mode
        self._skippable = not self.careful and skips_exactly(self._context)
        self._length_bytes = unit_length_bytes(self._context)
        self._forget()


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    """`first`, then the rest; a torn file ends where it is torn."""
    yield first
    try:
        yield from rest
    except av.error.ExitError:
        raise
    except av.error.FFmpegError:
        return
