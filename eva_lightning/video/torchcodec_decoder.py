"""The second decoder: torchcodec, on a CPU or on the video engine of an NVIDIA card.

It trusts nothing: every frame that comes back is held against the packet index, and what does not fit comes
from PyAV instead. torchcodec is imported when the first file is opened, never before.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eva_lightning.faults import UsageError, VideoError, first_line
from eva_lightning.video.container import file_address, open_container
from eva_lightning.video.decoder import Decoder, Frame, VideoFacts
from eva_lightning.video.header import MAX_FRAME_PIXELS, check_call, read_header, turned
from eva_lightning.video.packet_index import packet_index
from eva_lightning.video.pyav_decoder import PyAVDecoder

if TYPE_CHECKING:
    import torch

CHUNK_BYTES = 256 << 20
"""Full-size frames that are held at once."""

CHUNK_BYTES_ON_CUDA = 32 << 20
"""The same on a card, where they take four times as much to be resized, and many decoders share what the
policy leaves."""

FIRST_RIGHT_ON_CUDA = (0, 17)
"""Earlier releases crop some videos wrongly on the card (torchcodec issue 1704)."""


class TorchcodecDecoder(Decoder):
    """Frames by torchcodec in exact mode, resized where they were decoded."""

    def __init__(
        self,
        path: str | Path,
        device: str = "cpu",
        *,
        max_frame_pixels: int = MAX_FRAME_PIXELS,
        index_dir: str | Path | None = None,
        threads: int = 1,
    ) -> None:
        """
        Args:
            path: A video file.
            device: cpu, or cuda (cuda:1) for the card's video engine.
            max_frame_pixels: Files with larger native frames are refused before anything is decoded.
            index_dir: Directory in which packet indexes are kept between runs; None keeps them in memory.
            threads: CPU threads that decode; none work for the card's engine.
        """
        make = load_torchcodec(device)
        self._there = _on(device)
        self._path = os.fspath(path)
        self._settings: dict[str, Any] = {"max_frame_pixels": max_frame_pixels, "index_dir": index_dir}
        self._index = packet_index(path, index_dir)
        with open_container(path) as container:  # also what keeps playlists from torchcodec's own FFmpeg
            header = read_header(container, path, self._index, max_frame_pixels)
        threads = threads if device == "cpu" else 1
        self._chunk_bytes = CHUNK_BYTES if device == "cpu" else CHUNK_BYTES_ON_CUDA
        try:
            with self._there():
                self._video = make(
                    file_address(path), device=device, seek_mode="exact", num_ffmpeg_threads=threads
                )
        except (RuntimeError, ValueError) as error:
            raise VideoError(
                f"{path}: torchcodec can not open it ({first_line(error, 120)}); try PyAV"
            ) from error
        # Where both count the same frames their numbers agree; else frames are asked for by time.
        self._numbered = len(self._video) == len(self._index)
        self._reserve: PyAVDecoder | None = None
        self.facts: VideoFacts = turned(header, self._rotation())

    def frames(self, times: Sequence[float], height: int, width: int, *, coarse: bool = False) -> list[Frame]:
        check_call(self._path, len(times), height, width)
        asked = self._index.locate(times, coarse=coarse)
        wanted = sorted(set(asked))
        got: dict[int, Frame] = {}
        chunk = max(1, self._chunk_bytes // (self.facts.height * self.facts.width * 3))
        for first in range(0, len(wanted), chunk):
            self._fetch(wanted[first : first + chunk], height, width, got)
        for frame in wanted:  # one bad frame fails its whole batch
            if frame not in got:
                self._fetch([frame], height, width, got)
        lost = [frame for frame in wanted if frame not in got]
        if lost:
            if self._reserve is None:
                self._reserve = PyAVDecoder(self._path, **self._settings)
            moments = [self._index.time(frame) for frame in lost]
            got.update(zip(lost, self._reserve.frames(moments, height, width), strict=True))
        return [got[frame] for frame in asked]

    def close(self) -> None:
        self._video = None
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None

    def _fetch(self, frames: list[int], height: int, width: int, got: dict[int, Frame]) -> None:
        """Decode one batch into `got`, leaving out what is not the frame that was asked for."""
        begins = self._index.begin + self._index.seconds
        ends = np.append(begins[1:], self._index.begin + self._index.duration)
        try:
            with self._there():
                if self._numbered:
                    batch = self._video.get_frames_at(frames)
                else:  # the middle of a frame, where no rounding can reach its neighbours
                    middles = [float(begins[f] + ends[f]) / 2 for f in frames]
                    batch = self._video.get_frames_played_at(middles)
                shrunk = _resized(batch.data, height, width)
        except (RuntimeError, ValueError, IndexError):  # a card that has no memory left is among them
            return
        for frame, pixels, pts in zip(frames, shrunk, batch.pts_seconds.tolist(), strict=True):
            if abs(pts - begins[frame]) <= max(self._index.tick / 2, 1e-6):
                got[frame] = Frame(time=self._index.time(frame), pixels=pixels.copy())

    def _rotation(self) -> float:
        return float(getattr(self._video.metadata, "rotation", None) or 0)


def load_torchcodec(device: str) -> Any:
    """torchcodec's VideoDecoder class; UsageError says what to install where it can not be loaded."""
    try:
        torchcodec = importlib.import_module("torchcodec")
        make = importlib.import_module("torchcodec.decoders").VideoDecoder
    except (ImportError, OSError, RuntimeError) as error:
        raise UsageError(
            f"torchcodec can not be loaded ({first_line(error, 120)}): on a CPU it needs torchcodec==0.13.0 "
            "and a system FFmpeg (apt install ffmpeg), on a card torchcodec>=0.17; or choose the decoder pyav"
        ) from error
    if device.startswith("cuda"):
        import torch

        release = tuple(int(part) for part in torchcodec.__version__.split(".")[:2])
        if release < FIRST_RIGHT_ON_CUDA:
            raise UsageError(
                f"torchcodec {torchcodec.__version__} crops some videos wrongly on a card: install "
                "torchcodec>=0.17, or choose the decoder pyav"
            )
        if not torch.cuda.is_available():
            raise UsageError(
                "the decoder cuda needs an NVIDIA card, and torch sees none: choose pyav or auto"
            )
    return make


def _on(device: str) -> Callable[[], AbstractContextManager[object]]:
    """Makes a card the current one of whichever thread decodes; torch is there once torchcodec is."""
    import torch

    from eva_lightning.device import on_card

    return partial(on_card, torch.device(device))


def _resized(frames: torch.Tensor, height: int, width: int) -> NDArray[np.uint8]:
    """N x 3 x H x W on any device to N x height x width x 3 in memory, bicubic with antialiasing."""
    import torch
    from torch.nn.functional import interpolate

    # The CPU kernel works on uint8 itself, 12 times faster than on floats; CUDA has floats only.
    source = frames.float() if frames.is_cuda else frames
    small = interpolate(source, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    if small.is_floating_point():
        small = small.round_().clamp_(0, 255).to(torch.uint8)
    pixels: NDArray[np.uint8] = small.permute(0, 2, 3, 1).cpu().numpy()
    return pixels
