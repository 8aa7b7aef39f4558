"""A folder of proxies, filled: a smaller copy of each video, made once.

What is there is not made again, whoever is killed leaves no half of one, and several may fill a folder at
once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from eva_lightning.faults import UsageError, VideoError, first_line
from eva_lightning.files.atomic import appearing
from eva_lightning.files.full_disk import writing
from eva_lightning.video.container import picture_kind
from eva_lightning.video.proxies import make_proxy, proxy_name


@dataclass(kw_only=True)
class Filled:
    """What became of the videos."""

    made: int = 0
    """Proxies made now."""
    found: int = 0
    """Proxies that were there."""
    without: int = 0
    """Videos that have none, and are decoded themselves."""


def fill(folder: Path, videos: Iterable[str], pixels: int) -> Filled:
    """Make the proxies of videos; one of which none can be made gets one line, and is counted."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(f"{folder}: can not be a folder ({problem.strerror}); name another") from None
    filled = Filled()
    with tqdm(sorted(set(videos)), desc="proxies", unit="video") as bar:
        for video in bar:
            try:
                _one(folder, video, pixels, filled)
            except VideoError as problem:
                filled.without += 1
                bar.write(f"no proxy: {first_line(problem)}")
    return filled


def _one(folder: Path, video: str, pixels: int, filled: Filled) -> None:
    if picture_kind(video) is not None:  # all of it is one frame
        filled.without += 1
        return
    file = folder / f"{proxy_name(video, pixels)}.mp4"
    if file.exists():
        filled.found += 1
        return
    with writing(file), appearing(file, shared=True) as part:
        make_proxy(video, part, pixels)
    filled.made += 1
