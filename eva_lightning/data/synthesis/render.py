"""A script as a real video file: h264 with B-frames and AAC sound in an mp4, made by PyAV alone.

The file appears complete or not at all, and the same script gives the same bytes on the same machine. It is a
test bed for decoders, worlds and policies, not a film: pictures stand still between events.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from eva_lightning.data.synthesis.picture import draw
from eva_lightning.data.synthesis.script import Script
from eva_lightning.data.synthesis.tones import RATE, waveform
from eva_lightning.files.atomic import appearing

_X264 = {
    "preset": "veryfast",
    "crf": "20",  # the plate's 4-pixel pattern survives this with room to spare
    "bf": "2",
    "sc_threshold": "0",  # key frames where the GOP says, not where the scene changes
    "mbtree": "0",  # its assembly reads memory it never wrote: now and then the bytes would differ
    "threads": "1",  # the number of threads would change the bytes
}


def render(script: Script, path: str | Path) -> None:
    """Write the clip of a script to `path`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"movflags": "+faststart"}
    with appearing(path) as part, av.open(str(part), "w", format="mp4", options=whole) as container:
        _encode(script, container)


def _encode(script: Script, container: av.container.OutputContainer) -> None:
    video = container.add_stream(
        "libx264", rate=script.fps, options={**_X264, "g": str(script.gop), "keyint_min": str(script.gop)}
    )
    video.height, video.width, video.pix_fmt = script.height, script.width, "yuv420p"
    sound = container.add_stream("aac", rate=RATE, layout="mono")
    sound.bit_rate = 32000
    for second, (picture, noise) in enumerate(zip(_pictures(script), _sounds(script), strict=True)):
        for number in range(script.fps):
            picture.pts = second * script.fps + number
            picture.time_base = Fraction(1, script.fps)
            container.mux(video.encode(picture))
        container.mux(sound.encode(noise))
    container.mux(video.encode())
    container.mux(sound.encode())


def _pictures(script: Script) -> Iterator[av.VideoFrame]:
    """The picture of each second. A picture is drawn and converted once an event and used again after
    that."""
    for event in script.events:
        pixels = draw(event.see, script.height, script.width, grain=f"{script.seed}/{event.start}")
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        for _ in range(event.start, event.end):
            yield frame


def _sounds(script: Script) -> Iterator[av.AudioFrame]:
    """The sound of each second."""
    for second, piece in enumerate(waveform(script).reshape(script.duration, 1, RATE)):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout="mono")
        frame.sample_rate = RATE
        frame.pts = second * RATE
        frame.time_base = Fraction(1, RATE)
        yield frame
