"""Isolation: videos read by processes that may die or hang of one, and are replaced.

A damaged or malicious file can crash FFmpeg, and no language catches that; here it costs one process and the
request that met it. Frames are those of the PyAV decoder, byte for byte. How a worker reads is its own
business, how many files are open is the decoder pool's.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eva_lightning.faults import Fault, NoSound, VideoError
from eva_lightning.video import isolated_worker
from eva_lightning.video.decoder import Decoder, Frame, VideoFacts
from eva_lightning.video.header import MAX_FRAME_PIXELS, check_call
from eva_lightning.video.isolated_worker import packed, unpacked
from eva_lightning.video.packet_index import PacketIndex
from eva_lightning.video.wire import Arrays, receive, send

START_SECONDS = 120.0
"""How long a worker may take to start: it imports numpy and PyAV from a disk that others use, too."""


class Worker:
    """One process. Not thread-safe."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._wire, theirs = socket.socketpair()
        with theirs:
            # Started afresh, not forked: a fork of a process with threads and a card inherits both broken.
            words = ["-P", "-m", isolated_worker.__name__, str(theirs.fileno()), str(deadline)]
            self._process = subprocess.Popen(
                [sys.executable, *words],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for whoever asks
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
                | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        try:
            receive(self._wire, monotonic() + START_SECONDS)
        except (OSError, EOFError, ValueError):
            raise Fault(
                f"the process that reads videos does not start ({self._ended()}); see above"
            ) from None

    def ask(
        self, path: str, words: dict[str, Any], arrays: Sequence[NDArray[Any]] = ()
    ) -> tuple[dict[str, Any], Arrays]:
        """What it answers; VideoError if it can not, or ends, or takes too long."""
        until = monotonic() + self._deadline
        try:
            send(self._wire, words, arrays, until)
            answer, found = receive(self._wire, until)
        except TimeoutError:
            self.end()
            raise VideoError(
                f"{path}: reading it took longer than {self._deadline:g} s and was ended; the file is "
                "damaged or its disk stands still: fetch it again, or raise the deadline"
            ) from None
        except (OSError, EOFError, ValueError):
            raise VideoError(
                f"{path}: reading it ended its worker ({self._ended()}); the file is damaged: fetch it again"
            ) from None
        except BaseException:  # an answer that nobody took would be taken for the next one
            self.end()
            raise
        if "silent" in answer:
            raise NoSound(answer["silent"])
        if "fault" in answer:
            raise VideoError(answer["fault"])
        if "memory" in answer:
            raise VideoError(
                f"{path}: reading it takes more than {answer['memory'] >> 30} GiB; make a smaller copy"
            )
        if "bug" in answer:
            raise RuntimeError(f"{path}: {answer['bug']}")
        return answer, found

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def end(self) -> None:
        """Kill it, and see it dead."""
        self._wire.close()
        self._process.kill()
        self._process.wait()

    def _ended(self) -> str:
        """How it ended by itself; one that is only silent is killed."""
        try:  # a crash closes the wire a moment before the process is gone
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        self.end()
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


class Isolation:
    """As many workers as are asked at once, kept for the next request. Thread-safe."""

    def __init__(self, deadline: float, max_frame_pixels: int = MAX_FRAME_PIXELS) -> None:
        """
        Args:
            deadline: Seconds that a worker may take over one request.
            max_frame_pixels: Files with larger native frames are refused.
        """
        if not deadline > 0:
            raise ValueError(f"a deadline of {deadline:g} s is not positive")
        self._deadline, self._max_frame_pixels = deadline, max_frame_pixels
        self._lock = threading.Lock()  # guards what follows
        self._idle: list[Worker] = []
        self._closed = False
        # Errands are short and come from every thread at once; open decoders are counted by their pool.
        self._errands = threading.Semaphore(os.cpu_count() or 1)

    def index(self, path: str | Path) -> PacketIndex:
        """The packet index of a file."""
        words, arrays = self._errand(path, {"do": "index", "path": os.fspath(path)})
        return unpacked(words, arrays)

    def sound(self, path: str | Path, start: float, end: float, rate: int = 16000) -> NDArray[np.float32]:
        """What `read_audio` gives."""
        asked = {"do": "sound", "path": os.fspath(path), "start": start, "end": end, "rate": rate}
        return np.asarray(self._errand(path, asked)[1][0], dtype=np.float32)

    def open(self, path: str | Path, index: PacketIndex, threads: int = 1) -> IsolatedDecoder:
        """A decoder in a worker of its own, until it is closed."""
        return IsolatedDecoder(self, os.fspath(path), index, self._max_frame_pixels, threads)

    def take(self) -> Worker:
        """A worker for this caller alone."""
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
        return Worker(self._deadline)

    def give_back(self, worker: Worker) -> None:
        """Keep a worker for the next; one that has ended is gone."""
        with self._lock:
            if worker.alive and not self._closed:
                self._idle.append(worker)
                return
        worker.end()

    def close(self) -> None:
        """End those that nobody uses; the others end when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def _errand(self, path: str | Path, words: dict[str, Any]) -> tuple[dict[str, Any], Arrays]:
        with self._errands:
            worker = self.take()
            try:
                return worker.ask(os.fspath(path), words)
            finally:
                self.give_back(worker)


class IsolatedDecoder(Decoder):
    """An open video in a worker; in another one if that died while nobody asked it."""

    def __init__(
        self, home: Isolation, path: str, index: PacketIndex, max_frame_pixels: int, threads: int
    ) -> None:
        self._home, self._path, self._index = home, path, index
        self._settings = {"max_frame_pixels": max_frame_pixels, "threads": threads}
        self._worker = self._opened()

    def _opened(self) -> Worker:
        words, arrays = packed(self._index)
        asked: dict[str, Any] = {"do": "open", "path": self._path, "index": words}
        worker = self._home.take()
        try:
            told, _ = worker.ask(self._path, asked | self._settings, arrays)
            self.facts = VideoFacts(**told["facts"])
        except BaseException:
            self._home.give_back(worker)
            raise
        return worker

    def frames(self, times: Sequence[float], height: int, width: int, *, coarse: bool = False) -> list[Frame]:
        check_call(self._path, len(times), height, width)
        if not self._worker.alive:
            self._worker = self._opened()
        asked: dict[str, Any] = {"do": "frames", "times": [float(time) for time in times], "coarse": coarse}
        words, arrays = self._worker.ask(self._path, asked | {"height": height, "width": width})
        told, whole = words["frames"], (height, width, 3)
        if len(told) != len(times) or any(one.shape != whole or one.dtype != np.uint8 for one in arrays):
            self._worker.end()
            raise VideoError(f"{self._path}: its worker gave other frames than asked for; fetch it again")
        pairs = zip(told, arrays, strict=True)
        return [Frame(time=time, pixels=pixels, note=note) for (time, note), pixels in pairs]

    def close(self) -> None:
        if self._worker.alive:
            with suppress(VideoError):
                self._worker.ask(self._path, {"do": "close"})
        self._home.give_back(self._worker)
