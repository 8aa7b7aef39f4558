"""Frames as image files, for trainers that read no videos.

Each is written once, under a name that says which frame it is, so that an interrupted export goes on where it
stopped.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from PIL import Image

from eva_lightning.agent.worlds.base import World
from eva_lightning.faults import UsageError
from eva_lightning.files.atomic import appearing
from eva_lightning.files.full_disk import writing
from eva_lightning.records import Clip, FrameRef, Trajectory
from eva_lightning.video.identity import file_identity

ImageType = Literal["png", "jpeg"]
"""png keeps every pixel; jpeg is smaller where a scene was filmed."""


def frame_name(frame: FrameRef) -> str:
    """The name of a frame among those of its clip.

    >>> frame_name(FrameRef(clip="v", time=12.5, height=56, width=84))
    '12.500000-84x56'
    """
    proxy = f"-{frame.proxy}" if frame.proxy else ""
    return f"{frame.time:.6f}-{frame.width}x{frame.height}{proxy}"


class PictureFolder:
    """A folder of frames, with a folder for each clip."""

    def __init__(self, folder: str | Path, world: World, kind: ImageType = "png") -> None:
        self.folder, self.world, self.kind = Path(folder), world, kind
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            why = problem.strerror or problem
            raise UsageError(f"{folder}: no folder for images can be there ({why}); name another") from None
        self.written = self.found = 0
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="picture")
        self._counting = threading.Lock()

    def save(self, trajectory: Trajectory, root: str | Path) -> list[str]:
        """The files of all frames of a trajectory, in order; those that are not there yet are written.

        Paths count from `root` where they lie in it.
        """
        clips = {clip.id: clip for clip in trajectory.task.clips}
        folders = {id: self.folder / _clip_name(clip) for id, clip in _used(trajectory, clips).items()}
        files = [folders[one.clip] / f"{frame_name(one)}.{self.kind}" for one in trajectory.frames]
        wanted = dict(zip(files, trajectory.frames, strict=True))
        for done in [self._threads.submit(self._write, f, clips[r.clip], r) for f, r in wanted.items()]:
            done.result()
        base = Path(root).resolve()
        whole = [file.resolve() for file in files]
        return [str(f.relative_to(base) if f.is_relative_to(base) else f) for f in whole]

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def _write(self, file: Path, clip: Clip, frame: FrameRef) -> None:
        if file.exists():
            with self._counting:
                self.found += 1
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with writing(file), appearing(file, shared=True) as part:
            Image.fromarray(self.world.pixels(clip, frame)).save(part, self.kind, quality=95, subsampling=0)
        with self._counting:
            self.written += 1


def _used(trajectory: Trajectory, clips: Mapping[str, Clip]) -> dict[str, Clip]:
    return {frame.clip: clips[frame.clip] for frame in trajectory.frames}


def _clip_name(clip: Clip) -> str:
    """Another name for another file, another version of it, or another begin.

    So an old frame is never taken for a new one.
    """
    return hashlib.blake2b(repr((file_identity(clip.path), clip.begin)).encode(), digest_size=6).hexdigest()
