"""Long videos for the benches, made once: a short piece is encoded, its packets are repeated.

Every frame of the long file is therefore a frame of the piece, so truth for the long one is the piece decoded
from begin to end. Decoding speed depends on what is in the pictures, so they have what pictures of the world
have: textures with a 1/f spectrum, a camera that pans, things that move in front, and the noise of a sensor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

FPS = 25
GOP = 250
PIECES = {360: (3000, 30, 640), 720: (1500, 10, 1280)}
"""Height: frames of the piece, repeats, width."""


@dataclass(frozen=True)
class LongVideo:
    """A long file and the piece it repeats."""

    path: Path
    piece: Path
    seconds: int
    height: int
    width: int

    @property
    def piece_frames(self) -> int:
        return PIECES[self.height][0]


def long_video(height: int, folder: Path | None = None) -> LongVideo:
    """An hour of 360p or ten minutes of 720p, in H.264, veryfast, 3 B-frames, a key frame every 10 s.

    The 360p has 0.5 Mbit/s, as on the web.
    """
    frames, repeats, width = PIECES[height]
    folder = folder or Path(tempfile.gettempdir()) / "eva_lightning_bench"
    folder.mkdir(parents=True, exist_ok=True)
    piece, path = folder / f"piece_{height}.mp4", folder / f"long_{height}.mp4"
    if not path.exists():
        encode(piece, frames, height, width)
        part = path.with_suffix(".part.mp4")
        repeat(piece, part, repeats)
        part.rename(path)
    return LongVideo(path, piece, frames * repeats // FPS, height, width)


def encode(path: Path, frames: int, height: int, width: int) -> None:
    options = {"preset": "veryfast", "crf": "30", "bf": "3", "g": str(GOP), "keyint_min": str(GOP)}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={**options, "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, picture in enumerate(pictures(frames, height, width)):
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def pictures(frames: int, height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    """Planar YUV 4:2:0, one array of height * 3 / 2 rows a picture."""
    dice = np.random.default_rng(0)
    scenery = pink(dice, 3 * height, 4 * width, 36)  # finer than the picture, so that it moves by half pixels
    chroma = pink(dice, height // 2, width, 12)
    things = [(pink(dice, height // 3, width // 5, 44), dice.uniform(0.4, 1.6, 4)) for _ in range(4)]
    waves = [pink(dice, height // 3, width, 1) - 126 for _ in range(12)]
    water = 20 * waves[0]
    grain = dice.normal(0, 2.0, (height + 64, width + 64))
    for number in range(frames):
        zoom = 1.75 + 0.2 * np.sin(number / 90)
        rows = (1.5 * height + 8 * np.sin(number / 23) + zoom * (np.arange(height) - height / 2)).astype(int)
        pan = 2 * width + 0.9 * width * np.sin(number / 180)
        columns = (pan + zoom * (np.arange(width) - width / 2)).astype(int)
        luma = scenery[np.ix_(rows, columns)]
        for texture, (fast, slow, phase, high) in things:
            x = int((np.sin(number * fast / 45 + 6 * phase) + 1) / 2 * (width - texture.shape[1]))
            y = int((np.cos(number * slow / 60 + high) + 1) / 2 * (height - texture.shape[0]))
            luma[y : y + texture.shape[0], x : x + texture.shape[1]] = texture
        # What no motion explains, such as water, leaves or a crowd, fills the lowest third.
        water = 0.95 * water + 6 * np.roll(waves[dice.integers(12)], dice.integers(0, 99, 2), axis=(0, 1))
        luma[-len(water) :] += water
        down, right = dice.integers(0, 64, 2)
        luma += grain[down : down + height, right : right + width]
        colour = np.roll(chroma, number // 4, axis=1)
        planes = [luma.ravel(), colour[:, : width // 2].ravel(), colour[:, width // 2 :].ravel()]
        yield np.concatenate(planes).clip(16, 235).astype(np.uint8).reshape(height * 3 // 2, width)


def pink(dice: np.random.Generator, height: int, width: int, contrast: float) -> NDArray[np.float64]:
    """A texture whose amplitudes fall with 1 / frequency, as those of photographs do."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(dice.normal(size=(height, width))) / frequency**1.2
    texture = np.fft.irfft2(spectrum, (height, width))
    return 126 + contrast * (texture - texture.mean()) / texture.std()


def repeat(piece: Path, path: Path, repeats: int) -> None:
    """The packets of `piece`, `repeats` times one after the other."""
    with av.open(str(piece)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        length = round(Fraction(len(packets), FPS) / old.streams.video[0].time_base)
        for turn in range(repeats):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts = packet.pts + turn * length, packet.dts + turn * length
                copy.time_base, copy.duration = packet.time_base, packet.duration
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                new.mux(copy)
