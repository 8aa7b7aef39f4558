"""The folder of videos: finds those that rows name, whatever folders the rows' writers had. It opens none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.clip_paths import is_within
from eva_lightning.records import Clip

MISSING = "missing video"
"""Cause of a row whose video is not there."""

Cut = tuple[float | None, float | None]
"""Second of the file at which a clip begins and ends; None is the file's own."""

FRAMES = "folder of pictures"
"""Cause of a row whose video is none."""

OUTSIDE = "video elsewhere"
"""Cause of a row whose video lies outside of the folder."""


class VideoFolder:
    """A folder of videos, with the answers it gave."""

    def __init__(self, root: str | Path, allow_outside: bool = False) -> None:
        """
        Args:
            root: The folder.
            allow_outside: Whether a row may name a video that lies elsewhere, by its whole path or a link.
        """
        self.root = Path(root).expanduser()
        self._allow_outside = allow_outside
        self._known: dict[str, str | None] = {}

    def find(self, name: str) -> str:
        """The file a row means: as it is named if that lies in here, else the longest tail that does."""
        if name not in self._known:
            self._known[name] = self._look(name)
        path = self._known[name]
        if path is not None and not self._allow_outside and not is_within(path, self.root):
            raise BadRow(
                OUTSIDE, f"{name} lies outside of {self.root}: say allow_outside if you trust the rows"
            )
        if path is None and _is_folder(self.root / name):
            raise BadRow(FRAMES, f"{name} is a folder of pictures, not a video; eva draw makes one")
        if path is None:
            raise BadRow(MISSING, f"no file {name} in {self.root}")
        return path

    def clips(self, names: Sequence[str], cuts: Sequence[Cut]) -> tuple[Clip, ...]:
        """The clips of a task whose row names these files, and where each begins and ends."""
        ids = ["video"] if len(names) == 1 else [f"video {i}" for i in range(1, len(names) + 1)]
        return tuple(
            Clip(id=one, path=self.find(name), begin=begin, end=end)
            for one, name, (begin, end) in zip(ids, names, cuts, strict=True)
        )

    def _look(self, name: str) -> str | None:
        parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
        tails = (self.root.joinpath(*parts[begin:]) for begin in range(len(parts)))
        elsewhere: str | None = None
        for path in (*([Path(name)] if name.startswith("/") else []), *tails):
            if _is_file(path):
                if self._allow_outside or is_within(path, self.root):
                    return str(path)
                elsewhere = elsewhere or str(path)
        return elsewhere


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a text that is no path at all is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
