"""Videos that a browser sent: their size is bounded, their names are words to show and never paths.

Whatever is no video that this machine can read is refused in one line and leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from eva_lightning.agent.worlds.base import ClipFacts
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.full_disk import refusal_of
from eva_lightning.records import Clip

BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class UploadSettings:
    """How much a browser may send."""

    megabytes: float = 2000.0
    """Largest video, in millions of bytes."""
    kept: int = 4
    """Videos that are kept at once; one more takes the place of the oldest. All are gone when it ends."""
    folder: str | None = None
    """Where they are kept while it runs; None is the system's folder for temporary files."""

    def __post_init__(self) -> None:
        if not self.megabytes > 0 or self.kept < 1:
            raise UsageError(
                f"uploads: megabytes {self.megabytes:g}, kept {self.kept}: want more than 0, 1 or more"
            )

    @property
    def most(self) -> int:
        """Bytes of the largest video."""
        return int(self.megabytes * 1e6)


class Refused(Exception):
    """Something was sent that is not taken: in one line, with the status of HTTP that says so."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video that was sent."""

    number: int
    """Which one, from 1."""
    name: str
    """What its user calls it."""
    path: Path
    """Where it is now."""
    facts: ClipFacts
    """Its length and size."""


class Uploads:
    """The videos of one app, in a folder of its own that goes with it."""

    def __init__(self, settings: UploadSettings, describe: Callable[[Clip], ClipFacts]) -> None:
        """
        Args:
            settings: How much is taken.
            describe: Opens a video and tells its length and size; raises a Fault if it is none.
        """
        self.settings = settings
        self._describe = describe
        try:
            self._folder = tempfile.TemporaryDirectory(
                prefix="eva-app-", dir=settings.folder, ignore_cleanup_errors=True
            )
        except OSError as problem:
            why = problem.strerror or problem
            raise UsageError(f"{settings.folder}: no videos can be kept there ({why})") from None
        self._videos: dict[int, Video] = {}
        self._sent = 0
        self._taking = Lock()
        """One video is taken at a time: the disk holds one more than are kept."""
        self._lock = Lock()

    def take(self, name: str, length: int, source: BinaryIO) -> Video:
        """Keep the next `length` bytes of `source`; Refused if they are too many, too few or no video."""
        name = shown_name(name)
        if length > self.settings.most:
            raise Refused(
                413,
                f"{name}: {length / 1e6:,.0f} MB are more than the {self.settings.megabytes:g} MB that are "
                "taken; start eva app with a larger --uploads.megabytes",
            )
        if length < 1:
            raise Refused(400, f"{name}: is empty; send a video")
        with self._taking:
            self._sent += 1
            path = Path(self._folder.name) / f"{self._sent}.video"
            try:
                self._store(name, path, length, source)
                video = Video(number=self._sent, name=name, path=path, facts=self._facts(name, path))
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            with self._lock:
                self._videos[video.number] = video
            return video

    def find(self, number: object) -> Video:
        """The video of that number; Refused if it is not there, or not any more."""
        video = self._videos.get(number) if isinstance(number, int) else None
        if video is None:
            raise Refused(404, "that video is not here any more; send it again")
        return video

    def thin_out(self, *needed: int) -> None:
        """Let the oldest ones go, but none that is needed."""
        with self._lock:
            spare = [number for number in self._videos if number not in needed]
            for number in spare[: max(len(self._videos) - self.settings.kept, 0)]:
                self._videos.pop(number).path.unlink(missing_ok=True)

    def close(self) -> None:
        """All of them are deleted."""
        self._folder.cleanup()

    def _store(self, name: str, path: Path, length: int, source: BinaryIO) -> None:
        try:
            with open(path, "xb") as file:
                while length and (block := source.read(min(BLOCK, length))):
                    file.write(block)
                    length -= len(block)
        except OSError as problem:
            why = refusal_of(problem)
            if why is None and problem.errno not in (errno.EACCES, errno.ENOENT):
                raise  # the browser has left
            why = why or os.strerror(problem.errno or 0)
            raise Refused(507, f"{name}: can not be kept in {path.parent} ({why}); make room there") from None
        if length:
            raise Refused(400, f"{name}: ended {length} bytes too early; send it again")

    def _facts(self, name: str, path: Path) -> ClipFacts:
        try:
            return self._describe(Clip(id="video", path=str(path)))
        except Fault as fault:
            raise Refused(400, " ".join(str(fault).replace(str(path), name).split())) from None


def shown_name(name: str, longest: int = 80) -> str:
    r"""What a file is called, as words on one line: no folder, nothing that can not be printed.

    >>> shown_name("../../etc/passwd"), shown_name("C:\\new\\my talk.mp4"), shown_name("a\x00\nb\u202e.mp4")
    ('passwd', 'my talk.mp4', 'ab.mp4')
    >>> shown_name("/"), len(shown_name("a" * 300 + ".mp4"))
    ('video', 80)
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    plain = "".join(sign for sign in last if sign.isprintable()).strip()
    return plain[-longest:] or "video"
