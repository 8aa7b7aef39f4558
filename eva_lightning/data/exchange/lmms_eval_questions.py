"""Questions of lmms-eval, as tasks: its words, and the videos or pieces of videos that it shows.

What it shows beside (pictures, sound) is refused: an agent watches videos.
"""

from __future__ import annotations

from typing import Any

from eva_lightning.faults import UsageError
from eva_lightning.records import Clip, Task


def task_of(id: str, source: str, words: str, shown: Any) -> Task:
    """A question of lmms-eval as a task; UsageError if what it shows is no video."""
    several = shown if isinstance(shown, list | tuple) else [shown]
    clips = tuple(_clip(one, number, len(several), id) for number, one in enumerate(several, start=1))
    if not clips or not words.strip():
        raise UsageError(f"{id}: has {'no words' if clips else 'no video'}; an agent answers about videos")
    return Task(id=id, source=source, clips=clips, question=words)


def _clip(shown: Any, number: int, count: int, id: str) -> Clip:
    """A file, or a piece of one as {"url": ..., "video_start": ..., "video_end": ...}."""
    held = shown if isinstance(shown, dict) else {"url": shown}
    path = held.get("url") or held.get("path")
    if not isinstance(path, str) or held.get("type", "video") != "video":
        kind = held.get("type") or type(path).__name__
        raise UsageError(f"{id}: shows something else than a video file ({kind}); an agent watches videos")
    name = "video" if count == 1 else f"video {number}"
    return Clip(id=name, path=path, begin=held.get("video_start"), end=held.get("video_end"))
