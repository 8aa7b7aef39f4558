"""Small real videos whose every frame carries its own number as a bar code, so that truth can be read."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH = 112, 168
BITS = 12
X264 = {"preset": "ultrafast", "bf": "3", "b-pyramid": "normal", "sc_threshold": "0"}


@dataclass(frozen=True)
class Footage:
    """A file, and when each of its frames is shown."""

    path: Path
    times: tuple[float, ...]

    def number_at(self, time: float) -> int:
        """The frame on show at a time."""
        return max(i for i, begin in enumerate(self.times) if begin <= time + 1e-6 or i == 0)


def picture(number: int) -> np.ndarray:
    """Twelve bars, 14 pixels wide, white for a 1; below them noise that moves."""
    pixels = np.random.default_rng(number // 8).integers(60, 190, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels = np.roll(pixels, 3 * number, axis=1)
    for bit in range(BITS):
        pixels[: HEIGHT // 2, bit * 14 : (bit + 1) * 14] = 235 if number >> bit & 1 else 16
    return pixels


def number_in(pixels: np.ndarray) -> int:
    """Read the bar code of a frame, whatever size it has."""
    height, width = pixels.shape[:2]
    row = pixels[height // 8 : height // 4].mean(axis=(0, 2))
    return sum((row[int((bit + 0.5) * width / BITS)] > 125) << bit for bit in range(BITS))


def write(
    path: Path,
    codec: str = "libx264",
    times: Sequence[float] = tuple(i / 25 for i in range(150)),
    *,
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    begin: float = 0.0,
    sound: np.ndarray | None = None,
    sound_begin: float = 0.0,
) -> Footage:
    """Encode one picture for each time. `begin` shifts the file's clock; `sound` is mono at 16 kHz."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or X264)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        stream.codec_context.time_base = Fraction(1, 1000)
        voice = container.add_stream("aac", rate=16000, layout="mono") if sound is not None else None
        if voice is not None:
            mux_sound(container, voice, sound, round((begin + sound_begin) * 16000))
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = round((begin + time) * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Footage(path, tuple(times))


def mux_sound(container, stream, sound: np.ndarray, begin: int) -> None:
    for at in range(0, len(sound), 1024):
        frame = av.AudioFrame.from_ndarray(sound[None, at : at + 1024].astype(np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, begin + at, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def with_edit_list(source: Footage, path: Path, cut: int) -> Footage:
    """A copy whose first `cut` frames are kept in the file but never shown."""
    with av.open(str(source.path)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        shift = round(source.times[cut] / old.streams.video[0].time_base)
        for packet in old.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                new.mux(packet)
    return Footage(path, tuple(time - source.times[cut] for time in source.times[cut:]))


def turned(source: Footage, path: Path) -> Footage:
    """A copy that says "show me turned by 90 degrees clockwise", as telephones do."""
    content = source.path.read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    clockwise = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, HEIGHT << 16, 0, 1 << 30)
    at = content.index(upright, content.index(b"tkhd"))
    path.write_bytes(content[:at] + clockwise + content[at + len(upright) :])
    return Footage(path, source.times)


def every_kind(folder: Path) -> dict[str, Footage]:
    """One file of each kind that must be right."""
    every_40 = "keyint=40:min-keyint=40:bframes=3:scenecut=0:log-level=none"
    x265 = {"preset": "ultrafast", "x265-params": every_40}
    vp9 = {"g": "40", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1"}
    gaps = np.random.default_rng(0).choice([0.02, 0.04, 0.1, 0.9], 120, p=[0.4, 0.4, 0.18, 0.02])
    uneven = np.cumsum(gaps)
    vfr = tuple(round(float(t - uneven[0]), 3) for t in uneven)
    short, long = {**X264, "g": "25"}, {**X264, "g": "250"}
    tone = np.sin(np.arange(16000 * 2) * 2 * np.pi * 440 / 16000) * 0.5
    kinds = {
        "h264": write(folder / "h264.mp4", options=short),
        "h264 long gop": write(folder / "long.mp4", times=[i / 25 for i in range(300)], options=long),
        "hevc open gop": write(folder / "hevc.mp4", "libx265", options=x265),
        "uneven rate": write(folder / "vfr.mp4", times=vfr, options=short),
        "vp9": write(folder / "vp9.webm", "libvpx-vp9", options=vp9),
        "mpeg4": write(folder / "mpeg4.mp4", "mpeg4", options={"g": "25", "bf": "2", "q": "3"}),
        "transport stream": write(folder / "stream.ts", options=short, sound=tone),
        "late begin": write(folder / "late.mp4", options=short, begin=7.5),
        "late begin in mkv": write(folder / "late.mkv", options=short, begin=7.5),
        "ten bit": write(folder / "ten.mp4", options=short, pixel_format="yuv420p10le"),
    }
    kinds["edit list"] = with_edit_list(kinds["h264"], folder / "edit.mp4", 33)
    return kinds
