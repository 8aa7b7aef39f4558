"""Small real videos of every usual kind, and copies of them that are damaged by dice.

Half of the damage goes where files say what is in them: at their begin and, in mp4, wherever its table is.
Who reads the copies is others' business.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np

FRAMES, HEIGHT, WIDTH = 30, 56, 84
X264 = {"preset": "ultrafast", "g": "10", "sc_threshold": "0"}
WITH_B = X264 | {"bf": "2"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
KINDS: dict[str, tuple[str, str, dict[str, str], dict[str, str]]] = {
    "h264.mp4": ("mp4", "libx264", X264, {}),
    "h264-b.mp4": ("mp4", "libx264", WITH_B, {}),
    "fragments.mp4": ("mp4", "libx264", WITH_B, FRAGMENTS),
    "mpeg4.mp4": ("mp4", "mpeg4", {"g": "10", "bf": "2"}, {}),
    "hevc.mp4": ("mp4", "libx265", {"preset": "ultrafast", "x265-params": "keyint=10:log-level=none"}, {}),
    "h264.mkv": ("matroska", "libx264", WITH_B, {}),
    "vp8.webm": ("webm", "libvpx", {"g": "10", "deadline": "realtime", "cpu-used": "8"}, {}),
    "vp9.webm": ("webm", "libvpx-vp9", {"g": "10", "deadline": "realtime", "cpu-used": "8"}, {}),
    "h264.ts": ("mpegts", "libx264", WITH_B, {}),
    "mpeg4.avi": ("avi", "mpeg4", {"g": "10"}, {}),
}
"""Container, codec, and options of both."""

Dice = np.random.Generator
EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
TAGS = (b"moov", b"stbl", b"stsz", b"stco", b"stts", b"ctts", b"stsc", b"elst", b"avcC", b"trun", b"moof")


def seeds() -> dict[str, bytes]:
    """One small file of each kind that can be encoded here, with sound where that is usual."""
    return {
        name: _encoded(*kind)
        for name, kind in KINDS.items()
        if kind[1] in av.codecs_available  # a build of FFmpeg may lack an encoder
    }


def _encoded(container: str, codec: str, options: dict[str, str], header: dict[str, str]) -> bytes:
    held = io.BytesIO()
    with av.open(held, "w", format=container, options=header) as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        voice = file.add_stream("aac", rate=16000, layout="mono") if container in ("mp4", "mpegts") else None
        noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, 3 * number, axis=1), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        if voice is not None:
            for at in range(0, 16000, 1024):
                sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), "fltp", "mono")
                sound.sample_rate, sound.pts, sound.time_base = 16000, at, Fraction(1, 16000)
                file.mux(voice.encode(sound))
            file.mux(voice.encode())
    return held.getvalue()


def mutated(files: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """A damaged copy of one of the files, the same for the same dice, and what it may be called."""
    dice = np.random.default_rng([seed, number])
    names = sorted(files)
    name = names[number % len(names)]
    content = files[name]
    for _ in range(int(dice.integers(1, 4))):
        harm = HARMS[int(dice.integers(len(HARMS)))]
        content = harm(content, dice, files) or content[:16]
    return f"{number:06d}-{name}", content


def _place(content: bytes, dice: Dice) -> int:
    """Somewhere; every other time where a file says what is in it."""
    size = len(content)
    if dice.random() < 0.5:
        return int(dice.integers(size))
    table = content.find(b"moov")
    begin = table if table >= 0 and dice.random() < 0.7 else 0
    return int(min(begin + dice.integers(1500), size - 1))


def _flip(content: bytes, dice: Dice, _: dict[str, bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(int(2 ** dice.uniform(0, 6))):
        changed[_place(content, dice)] ^= 1 << int(dice.integers(8))
    return bytes(changed)


def _extreme(content: bytes, dice: Dice, _: dict[str, bytes]) -> bytes:
    """A number of four bytes becomes one of those that nobody expects."""
    changed = bytearray(content)
    for _ in range(int(dice.integers(1, 4))):
        at = _place(content, dice)
        changed[at : at + 4] = struct.pack(">I", EXTREMES[int(dice.integers(len(EXTREMES)))])
    return bytes(changed[: len(content)])


def _cut(content: bytes, dice: Dice, _: dict[str, bytes]) -> bytes:
    return content[: _place(content, dice)]


def _zero(content: bytes, dice: Dice, _: dict[str, bytes]) -> bytes:
    at, size = _place(content, dice), int(2 ** dice.uniform(2, 11))
    return (content[:at] + bytes(size) + content[at + size :])[: len(content)]


def _repeat(content: bytes, dice: Dice, _: dict[str, bytes]) -> bytes:
    """A piece stands there twice."""
    at, size = _place(content, dice), int(2 ** dice.uniform(2, 11))
    return content[: at + size] + content[at:]


def _splice(content: bytes, dice: Dice, files: dict[str, bytes]) -> bytes:
    """The header of one file before the rest of another."""
    other = files[sorted(files)[int(dice.integers(len(files)))]]
    return content[: _place(content, dice)] + other[_place(other, dice) :]


def _box(content: bytes, dice: Dice, files: dict[str, bytes]) -> bytes:
    """A box of an mp4 twice, or with a size that is not its own."""
    found = [at for tag in TAGS if (at := content.find(tag)) >= 4]
    if not found:
        return _repeat(content, dice, files)
    at = found[int(dice.integers(len(found)))] - 4
    size = struct.unpack_from(">I", content, at)[0]
    if dice.random() < 0.5:
        return content[: at + size] + content[at : at + size] + content[at + size :]
    wrong = int(dice.choice([0, 1, 7, size - 1, size + 1, size * 2, 0xFFFFFFFF])) & 0xFFFFFFFF
    return content[:at] + struct.pack(">I", wrong) + content[at + 4 :]


HARMS: tuple[Callable[[bytes, Dice, dict[str, bytes]], bytes], ...] = (
    *(_flip, _extreme, _cut, _zero, _repeat, _splice, _box),
)
