"""The header: what a file says of itself before it is decoded, and what is refused because of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from eva_lightning.faults import VideoError
from eva_lightning.video.container import reading, video_stream
from eva_lightning.video.decoder import VideoFacts
from eva_lightning.video.packet_index import PacketIndex

MAX_FRAME_PIXELS = 8192 * 4320
"""Native pixels of one frame that are still decoded."""

MAX_CALL_BYTES = 2 << 30
"""Bytes that one call may return."""


def read_header(
    container: Any, path: str | Path, index: PacketIndex, max_frame_pixels: int = MAX_FRAME_PIXELS
) -> VideoFacts:
    """The facts as header and index give them, not yet turned. Refuses frames that are too large."""
    with reading(path):
        stream = video_stream(container, path)
        context = stream.codec_context
        aspect = float(stream.sample_aspect_ratio or 1)
    if context is None or context.width <= 0 or context.height <= 0:
        raise VideoError(f"{path}: its header gives no size or no known codec; rewrite it with H.264")
    height, width = context.height, context.width
    if height * width > max_frame_pixels:
        raise VideoError(
            f"{path}: frames of {width}x{height} are over the limit of {max_frame_pixels} pixels; "
            "make a smaller copy, or raise max_frame_pixels"
        )
    if 0.25 <= aspect <= 4:  # pixels that are not square; anything else is a broken header
        width = round(width * aspect)
    return VideoFacts(
        path=os.fspath(path),
        duration=index.duration,
        height=height,
        width=width,
        fps=len(index) / index.duration if index.duration > 0 else 0.0,
        frames=len(index),
        gop=index.gop,
        codec=context.name,
    )


def turned(facts: VideoFacts, rotation: float) -> VideoFacts:
    """The facts of pictures that are shown turned by `rotation` degrees."""
    sideways = round(rotation / 90) % 2 == 1
    return replace(facts, height=facts.width, width=facts.height) if sideways else facts


def check_call(path: str, count: int, height: int, width: int) -> None:
    """Refuse what would not fit in memory."""
    if height <= 0 or width <= 0:
        raise ValueError(f"a frame of {width}x{height} has no pixels")
    size = count * height * width * 3
    if size > MAX_CALL_BYTES:
        raise VideoError(
            f"{path}: {count} frames of {width}x{height} are {size / 2**30:.1f} GiB, over the limit of "
            f"{MAX_CALL_BYTES / 2**30:g} GiB a call; ask for fewer or smaller frames"
        )
