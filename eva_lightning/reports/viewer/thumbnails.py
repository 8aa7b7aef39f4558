"""The frames of many trajectories as small pictures inside a page, each frame read once, under a budget.

A picture is made from the frame as the model saw it: one that was fetched at 28 x 28 stays that coarse. A
video that is gone or broken costs its pictures, never the page: what is missing, and why, is part of what is
returned.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image

from eva_lightning.agent.worlds.base import World
from eva_lightning.faults import Fault, UsageError
from eva_lightning.records import Clip, FrameRef, Trajectory
from eva_lightning.video.decoder import Pixels


@dataclass(frozen=True, kw_only=True)
class ThumbnailSettings:
    """How many pictures a page holds, and how good they are."""

    per_trajectory: int = 24
    """Frames of one trajectory that are shown as pictures; every look gets its share. 0 shows none."""
    megabytes: float = 24.0
    """What all pictures of the page may take together, in millions of bytes."""
    height: int = 96
    """Height of a picture in pixels; smaller frames keep their size."""
    quality: int = 60
    """WebP quality, 1 to 100."""

    def __post_init__(self) -> None:
        if self.per_trajectory < 0 or not self.megabytes >= 0 or self.height < 1:
            raise UsageError(
                f"thumbnails: per_trajectory {self.per_trajectory}, megabytes {self.megabytes:g}, height "
                f"{self.height}: want 0 or more, 0 or more, 1 or more"
            )
        if not 1 <= self.quality <= 100:
            raise UsageError(f"thumbnails: quality {self.quality}; want 1 to 100")


Missing = Literal["", "limit", "page", "broken"]
"""Why a frame has no picture: it has one | the trajectory's share is used up | the page's is | unreadable."""


@dataclass(frozen=True, kw_only=True)
class Pasted:
    """Where the picture of a frame is."""

    key: str = ""
    """Its name on the shelf of its clip; empty if there is none."""
    missing: Missing = ""
    """Why there is none."""


@dataclass(kw_only=True)
class Shelf:
    """One clip and its pictures, whoever watched them."""

    number: int
    """Which of the album's clips it is, from 0."""
    duration: float | None = None
    """Length in seconds; None if the video can not be read."""
    problem: str = ""
    """Why it can not be read, or why a frame of it could not."""
    pictures: dict[str, str] = field(default_factory=dict)
    """Data URLs by key."""


class Album:
    """Collects pictures, trajectory by trajectory, until the page is full."""

    def __init__(self, world: World, settings: ThumbnailSettings) -> None:
        self.shelves: list[Shelf] = []
        self.full = False
        self._world, self._settings = world, settings
        self._by_clip: dict[tuple[str, float, float | None], Shelf] = {}
        self._room = settings.megabytes * 1e6

    def shelf(self, clip: Clip) -> Shelf:
        """The shelf of a clip; its video is looked up when it is first asked for."""
        key = (clip.path, clip.begin or 0.0, clip.end)
        if key not in self._by_clip:
            self._by_clip[key] = self._open(clip)
            self.shelves.append(self._by_clip[key])
        return self._by_clip[key]

    def paste(self, trajectory: Trajectory) -> list[Pasted]:
        """The picture of every frame of `trajectory.frames`, in order."""
        clips = {clip.id: clip for clip in trajectory.task.clips}
        chosen = set(drawn_frames(_looks(trajectory), self._settings.per_trajectory))
        frames = trajectory.frames
        self._announce(clips, [frames[place] for place in sorted(chosen)])
        return [
            self._paste(clips.get(frame.clip), frame) if place in chosen else Pasted(missing="limit")
            for place, frame in enumerate(frames)
        ]

    @property
    def notes(self) -> list[str]:
        """What a reader of the whole page must know."""
        gone = [shelf for shelf in self.shelves if shelf.duration is None]
        notes = (
            [f"{len(gone)} of {len(self.shelves)} clips can not be read: {gone[0].problem}"] if gone else []
        )
        if self.full:
            limit = f"{self._settings.megabytes:g} MB"
            notes.append(f"The pictures reached {limit}: frames of later trajectories have none.")
        return notes

    def close(self) -> None:
        self._world.close()

    def _open(self, clip: Clip) -> Shelf:
        number = len(self.shelves)
        if not clip.path:
            return Shelf(number=number, problem="the clip has no video file")
        try:
            return Shelf(number=number, duration=self._world.describe(clip).duration)
        except Fault as fault:
            return Shelf(number=number, problem=str(fault))

    def _announce(self, clips: dict[str, Clip], frames: Sequence[FrameRef]) -> None:
        """Frames of one clip and size are decoded together, which is faster than one by one."""
        groups: dict[tuple[str, int, int], list[float]] = {}
        for frame in frames:
            clip = clips.get(frame.clip)
            if clip and not self.full and self._readable(self.shelf(clip), frame):
                groups.setdefault((frame.clip, frame.height, frame.width), []).append(frame.time)
        for (name, height, width), times in groups.items():
            if len(times) > 1:
                self._world.prefetch(clips[name], times, height, width)

    def _paste(self, clip: Clip | None, frame: FrameRef) -> Pasted:
        if clip is None:
            return Pasted(missing="broken")
        shelf, key = self.shelf(clip), f"{frame.time}@{frame.width}x{frame.height}"
        if key in shelf.pictures:
            return Pasted(key=key)
        if not self._readable(shelf, frame):
            return Pasted(missing="broken")
        if self.full:
            return Pasted(missing="page")
        try:
            picture = thumbnail(self._world.pixels(clip, frame), self._settings)
        except Fault as fault:
            shelf.problem = str(fault)
            return Pasted(missing="broken")
        if len(picture) > self._room:
            self.full = True
            return Pasted(missing="page")
        self._room -= len(picture)
        shelf.pictures[key] = picture
        return Pasted(key=key)

    def _readable(self, shelf: Shelf, frame: FrameRef) -> bool:
        """A frame after the end would be shown as the last one: the file is not the one that was watched."""
        if shelf.duration is None or not math.isfinite(frame.time):
            return False
        if frame.time > shelf.duration + 0.5:
            shelf.problem = (
                f"the video is {shelf.duration:.1f} s long, but a frame was watched at {frame.time:.1f} s: "
                "it is another file now"
            )
            return False
        return True


def thumbnail(pixels: Pixels, settings: ThumbnailSettings) -> str:
    """A frame as a data URL, made smaller, never larger."""
    picture = Image.fromarray(pixels)
    if picture.height > settings.height:
        width = max(1, round(picture.width * settings.height / picture.height))
        picture = picture.resize((width, settings.height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=settings.quality)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def _looks(trajectory: Trajectory) -> list[int]:
    """How many frames the opening and each turn brought."""
    opening = sum(len(message.frames) for message in trajectory.prompt)
    return [opening, *(len(turn.observation.frames) if turn.observation else 0 for turn in trajectory.turns)]


def drawn_frames(looks: Sequence[int], most: int) -> Iterator[int]:
    """Which frames are drawn, counted over all looks: evenly spaced inside a look, at most `most` together.

    >>> list(drawn_frames([5, 1], 4))
    [0, 2, 4, 5]
    """
    first = 0
    for count, share in zip(looks, shares(looks, most), strict=True):
        for i in range(share):
            yield first + (round(i * (count - 1) / (share - 1)) if share > 1 else count // 2)
        first += count


def shares(looks: Sequence[int], most: int) -> list[int]:
    """How many frames of each look are drawn: small looks whole, large ones what is left in equal parts.

    >>> shares([300, 1, 8], 24)
    [15, 1, 8]
    """
    given, left = [0] * len(looks), most
    for waiting, place in enumerate(sorted(range(len(looks)), key=looks.__getitem__)):
        given[place] = min(looks[place], left // (len(looks) - waiting))
        left -= given[place]
    return given
