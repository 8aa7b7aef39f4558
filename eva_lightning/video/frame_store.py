"""The store of frames, where every trajectory gets them: one per process, shared by all threads.

Rollouts of one question look at much the same seconds, so frames are kept, bounded in bytes and keyed by the
frame that is on show rather than by the second that was asked for; if two threads want a frame it is decoded
once, and all that wait for frames of one group of pictures are served in one pass. Frames are handed out
read-only because they are shared. Where frames are in a file is the packet index's business, which seconds
and what size to ask for is the caller's.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import InvalidStateError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eva_lightning.faults import Fault, UsageError
from eva_lightning.video.audio import read_audio
from eva_lightning.video.decoder import Decoder, Device, Frame, VideoFacts
from eva_lightning.video.decoder_pool import DecoderPool
from eva_lightning.video.decoding_crew import DecodingCrew
from eva_lightning.video.header import MAX_FRAME_PIXELS, check_call
from eva_lightning.video.identity import Identity, file_identity
from eva_lightning.video.isolation import Isolation
from eva_lightning.video.opening import on_a_card, open_decoder
from eva_lightning.video.orders import Key, Order, View, cut, threads_for
from eva_lightning.video.packet_index import EPSILON, PacketIndex, packet_index
from eva_lightning.video.proxies import Proxies, refuse_others
from eva_lightning.video.quarantine import Interrupted, Quarantine

Coarse = Literal["auto", "never", "always"]


@dataclass(frozen=True, kw_only=True)
class FrameStoreStats:
    """What a store did since it was made."""

    hits: int
    """Frames that were already kept, or were being decoded for somebody else."""
    misses: int
    """Frames that had to be decoded."""
    bytes: int
    """Bytes of pixels kept now."""
    decoded_frames: int
    """Frames that decoders handed over."""
    decode_seconds: float
    """Wall-clock seconds that decoders were busy, summed over threads."""
    open_decoders: int
    """Files open now."""
    evictions: int
    """Frames given up because the cache was full."""

    @property
    def hit_rate(self) -> float:
        """Hits in all frames asked for, 0 before the first."""
        return self.hits / max(self.hits + self.misses, 1)


class FrameStore:
    """Thread-safe frames of any number of videos, decoded once and kept as raw pixels."""

    def __init__(
        self,
        device: Device = "auto",
        cache_bytes: int = 512 << 20,
        max_open: int = 16,
        threads: int = 2,
        coarse: Coarse = "auto",
        max_frame_pixels: int = MAX_FRAME_PIXELS,
        index_dir: str | Path | None = None,
        isolate: bool = False,
        deadline: float = 120.0,
        quarantine_after: int | None = 3,
        proxies: str | Path | None = None,
    ) -> None:
        """
        Args:
            device: auto, pyav, torchcodec-cpu or cuda.
            cache_bytes: Pixels kept, in bytes; 0 keeps none.
            max_open: Files that are open at once.
            threads: Threads that prefetch, and as many (no more than there are cores) that help a call while
                no other is on its way; 0 for neither.
            coarse: auto takes the nearest key frame when times lie further apart than key frames do; that is
                10 times cheaper, and the frame's true time is reported.
            max_frame_pixels: Files with larger native frames are refused.
            index_dir: Directory in which packet indexes are kept between runs; None keeps them in memory.
            isolate: Read videos in processes of their own, one for each open file and of about 60 MB, so that
                a file that crashes FFmpeg costs one request and not the run. By PyAV, on CPUs.
            deadline: Seconds that such a process may take over one request; then it is ended, and replaced.
            quarantine_after: Failures in a row after which a file is refused at once, until it has changed;
                None tries every time.
            proxies: Folder of smaller copies that `eva prepare --proxies` made: where one is as large as what
                is asked for, frames come from it, and each says so. None, and a video that has none: from
                the video itself.
        """
        if cache_bytes < 0 or threads < 0:
            raise ValueError(f"cache_bytes {cache_bytes} and threads {threads} must not be negative")
        self._cache_bytes, self._threads, self._coarse = cache_bytes, threads, coarse
        self._index_dir = index_dir
        if isolate and device not in ("auto", "pyav"):
            raise UsageError(f"isolate reads videos by PyAV, on CPUs: device {device} does not go with it")
        self._device: Device = "pyav" if isolate else device
        self._max_frame_pixels = max_frame_pixels
        self._isolation = Isolation(deadline, max_frame_pixels) if isolate else None
        self._pool = DecoderPool(self._open_one, max_open)
        self.proxies = Proxies(proxies)
        """Where smaller copies are."""
        self.quarantine = Quarantine(quarantine_after)
        """Files that are not opened any more."""
        self._lock = threading.Lock()  # guards everything below
        self._kept: OrderedDict[Key, Frame] = OrderedDict()
        self._coming: dict[Key, Order] = {}
        """What brings each frame that is on its way."""
        self._open: dict[Key, Order] = {}
        """What others may still add to, by group of pictures."""
        self._facts: OrderedDict[Identity, VideoFacts] = OrderedDict()
        self._prefetcher: ThreadPoolExecutor | None = None
        self._crew = DecodingCrew(min(threads, (os.cpu_count() or 1) - 1))
        self._closed = False
        self._asked = self._misses = self._bytes = self._evictions = self._decoded = 0
        self._seconds = 0.0

    def facts(self, path: str | Path) -> VideoFacts:
        """Length, size and codec of a video."""
        with self.quarantine.watching(path):
            return self._facts_of(file_identity(path))

    def _facts_of(self, identity: Identity) -> VideoFacts:
        with self._lock:
            if identity in self._facts:
                return self._facts[identity]
        with self._pool.borrow(identity) as decoder:
            facts = decoder.facts
        with self._lock:
            self._facts[identity] = facts
            while len(self._facts) > 4096:
                self._facts.popitem(last=False)
        return facts

    def frames(self, path: str | Path, times: Sequence[float], height: int, width: int) -> list[Frame]:
        """The frames on show at `times` (or key frames near them, see `coarse`), with their true times.

        Any frame of a proxy comes as quickly as a key frame, and so the very ones are taken there.
        """
        with self._watching(path, len(times), height, width):
            return self._serve(path, times, height, width, self._coarse)

    def read(self, path: str | Path, time: float, height: int, width: int, proxy: str = "") -> Frame:
        """The frame on show at one time, never a key frame instead, of the video or the proxy of that name.

        Given the time and proxy that `frames` reported, it is that frame, bit for bit.
        """
        with self._watching(path, 1, height, width):
            return self._serve(path, [time], height, width, "never", proxy)[0]

    def prefetch(self, path: str | Path, times: Sequence[float], height: int, width: int) -> None:
        """Decode on a thread of the store what `frames` will be asked for; failures count there alone."""

        def quietly() -> None:
            with suppress(Fault):
                check_call(os.fspath(path), len(times), height, width)
                self.quarantine.refuse(path)
                self._serve(path, times, height, width, self._coarse)

        with self._lock:
            if self._closed or not self._threads:
                return
            if self._prefetcher is None:
                self._prefetcher = ThreadPoolExecutor(self._threads, thread_name_prefix="prefetch")
            self._prefetcher.submit(quietly)

    def sound(self, path: str | Path, start: float, end: float) -> NDArray[np.float32]:
        """The sound of a range of seconds, as `read_audio` gives it; nothing of it is kept."""
        self.quarantine.refuse(path)  # failures do not count: many a good video has no sound
        return (self._isolation.sound if self._isolation is not None else read_audio)(path, start, end)

    @property
    def stats(self) -> FrameStoreStats:
        with self._lock:
            return FrameStoreStats(
                hits=self._asked - self._misses,
                misses=self._misses,
                bytes=self._bytes,
                decoded_frames=self._decoded,
                decode_seconds=self._seconds,
                open_decoders=self._pool.open,
                evictions=self._evictions,
            )

    def close(self) -> None:
        """Give back files, threads and memory. Calls that are running finish; later ones fail."""
        with self._lock:
            self._closed = True
            prefetcher, self._prefetcher = self._prefetcher, None
        if prefetcher is not None:
            prefetcher.shutdown(cancel_futures=True)
        self._crew.close()
        self._pool.close()
        if self._isolation is not None:
            self._isolation.close()
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def __enter__(self) -> FrameStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_one(self, path: str, threads: int) -> Decoder:
        if self._isolation is not None:
            return self._isolation.open(path, self._index(path), threads)
        return open_decoder(
            path,
            self._device,
            max_frame_pixels=self._max_frame_pixels,
            index_dir=self._index_dir,
            threads=threads,
        )

    def _index(self, path: str | Path) -> PacketIndex:
        build = None if self._isolation is None else self._isolation.index
        return packet_index(path, self._index_dir, build)

    @contextmanager
    def _watching(self, path: str | Path, count: int, height: int, width: int) -> Iterator[None]:
        """Around a call: a wrong size is no fault of the file's, and what is, counts."""
        check_call(os.fspath(path), count, height, width)
        with self.quarantine.watching(path):
            yield

    def _serve(
        self,
        path: str | Path,
        times: Sequence[float],
        height: int,
        width: int,
        coarse: Coarse,
        proxy: str | None = None,
    ) -> list[Frame]:
        """The frames; `proxy` is the name of the only one to take, empty for none, None for any."""
        if not times:
            return []
        identity, index = file_identity(path), self._index(path)
        file = self._proxy(identity, height, width, proxy)
        if file is None:
            asked = choose(index, times, coarse)
            shown = self._collect(View(identity, index, height, width), set(asked))
            return [shown[frame] for frame in asked]
        own = self._index(file)
        refuse_others(identity[0], index, str(file), own)
        asked = choose(index, times, "never" if coarse == "auto" else coarse)
        shown = self._collect(View(file_identity(file), own, height, width), set(asked))
        return [replace(shown[frame], time=index.time(frame), proxy=file.stem) for frame in asked]

    def _proxy(self, video: Identity, height: int, width: int, name: str | None) -> Path | None:
        """The smallest proxy that is large enough, or the one of that name; None for the video itself."""
        if name is not None:
            return self.proxies.named(video, name) if name else None
        for file in self.proxies.of(video):
            facts = self._facts_of(file_identity(file))
            if facts.height >= height and facts.width >= width:
                return file
        return None

    def _collect(self, view: View, wanted: Collection[int]) -> dict[int, Frame]:
        """Each wanted frame: from memory, from whoever decodes its group of pictures, or decoded here."""
        shown, ordered, mine = self._order(view, wanted)
        try:
            parts = cut(mine, self._crew.chores)
            threads = threads_for(parts, 1 if on_a_card(self._device) else self._crew.spare)
            self._crew.run([partial(self._fulfil, *each) for each in zip(parts, threads, strict=True)])
        except BaseException:
            self._fail(mine, Interrupted("was interrupted"))
            raise
        try:  # after ours are done, or two callers could wait for each other
            return shown | {frame: order.outcome.result()[frame] for frame, order in ordered.items()}
        except Exception:  # perhaps for another caller's frame; and all of ours can stand in for each other
            if len(mine) == 1 and set(mine[0].begin()) == set(wanted):
                raise  # that was just what it would be again
            with self._pool.borrow(view.identity) as decoder:
                return self._decode(decoder, view, list(wanted))

    def _order(
        self, view: View, wanted: Collection[int]
    ) -> tuple[dict[int, Frame], dict[int, Order], list[Order]]:
        """Frames that are kept, the orders that bring the others, and those of them that are new."""
        shown: dict[int, Frame] = {}
        ordered: dict[int, Order] = {}
        mine: list[Order] = []
        with self._lock:
            if self._closed:
                raise Interrupted(f"{view.identity[0]}: the frame store is closed; open another")
            for frame in sorted(wanted):
                key, group = view.frame(frame), view.group(frame)
                if key in self._kept:
                    self._kept.move_to_end(key)
                    shown[frame] = self._kept[key]
                elif key in self._coming:
                    ordered[frame] = self._coming[key]
                else:
                    self._misses += 1
                    if group not in self._open or not self._open[group].add(frame):
                        self._open[group] = Order(view, group, frame)
                        mine.append(self._open[group])
                    ordered[frame] = self._coming[key] = self._open[group]
            self._asked += len(wanted)
        return shown, ordered, mine

    def _fulfil(self, orders: Sequence[Order], threads: int) -> None:
        """Decode all that was ordered before a decoder was free, and hand it to whoever waits for it."""
        view = orders[0].view
        try:
            with self._pool.borrow(view.identity, threads) as decoder:
                groups = [order.begin() for order in orders]
                frames = self._decode(decoder, view, [frame for group in groups for frame in group])
        except Exception as problem:  # whatever it is, all who wait must hear of it
            self._fail(orders, problem)
            return
        self._forget(orders)
        for order, group in zip(orders, groups, strict=True):
            with suppress(InvalidStateError):  # the caller was interrupted meanwhile
                order.outcome.set_result({frame: frames[frame] for frame in group})

    def _fail(self, orders: Sequence[Order], problem: Exception) -> None:
        self._forget(orders)
        for order in orders:
            with suppress(InvalidStateError):
                order.outcome.set_exception(problem)

    def _forget(self, orders: Sequence[Order]) -> None:
        """Nobody can join these any more: their frames are kept, or are to be ordered anew."""
        with self._lock:
            for order in orders:
                if self._open.get(order.group) is order:
                    del self._open[order.group]
                for key in map(order.view.frame, order.begin()):
                    if self._coming.get(key) is order:
                        del self._coming[key]

    def _decode(self, decoder: Decoder, view: View, frames: Sequence[int]) -> dict[int, Frame]:
        """Decode frames and keep them."""
        began = time.perf_counter()
        shown = decoder.frames([view.index.time(frame) for frame in frames], view.height, view.width)
        took = time.perf_counter() - began
        with self._lock:
            self._decoded += len(shown)
            self._seconds += took
            for number, frame in zip(frames, shown, strict=True):
                frame.pixels.flags.writeable = False
                self._keep(view.frame(number), frame)
        return dict(zip(frames, shown, strict=True))

    def _keep(self, key: Key, frame: Frame) -> None:
        if self._closed or frame.pixels.nbytes > self._cache_bytes:
            return
        self._kept[key] = frame
        self._bytes += frame.pixels.nbytes
        while self._bytes > self._cache_bytes:
            _, old = self._kept.popitem(last=False)
            self._bytes -= old.pixels.nbytes
            self._evictions += 1


def choose(index: PacketIndex, times: Sequence[float], coarse: Coarse) -> list[int]:
    """The frames to show: those on show at `times`, or key frames near them.

    A key frame outside the range that was asked for is never taken: a clip must not show what lies before it.
    """
    exact = index.locate(times)
    if coarse == "never":
        return exact
    apart = np.diff(np.unique(np.asarray(times, dtype=np.float64)))
    if coarse == "auto" and (not len(apart) or apart.min() <= index.gop):
        return exact
    low, high = min(times) - EPSILON, max(times) + EPSILON
    near = index.locate(times, coarse=True)
    return [k if low <= index.seconds[k] <= high else f for k, f in zip(near, exact, strict=True)]
