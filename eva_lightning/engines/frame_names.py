"""Frame names: what engines keep pixels under: the same wherever a frame is shown, other for other files.

A frame reference names its clip by an id that is unique within a task only; two tasks may both have a `v`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache

from eva_lightning.records import Clip, FrameRef
from eva_lightning.video.identity import identity


def frame_names(clips: Sequence[Clip], whose: str = "") -> Callable[[FrameRef], str]:
    """Names the frames of these clips, by the file as it is now. `whose` tells clips without one apart."""
    known = {clip.id: clip for clip in clips}

    @cache  # asked for every frame of a turn
    def origin(clip_id: str) -> tuple[object, ...]:
        clip = known[clip_id]
        file = identity(clip.path) if clip.path else (whose, clip.id)
        return *file, clip.begin or 0.0

    def name(frame: FrameRef) -> str:
        read = (frame.time, frame.height, frame.width, *([frame.proxy] if frame.proxy else []))
        words = "\x1f".join(map(str, (*origin(frame.clip), *read)))
        return hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    return name
