"""The folder of videos: finds those that rows name, whatever folders the rows' writers had. It opens none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.records import Clip

MISSING = "missing video"
"""Cause of a row whose video is not there."""


class VideoFolder:
    """A folder of videos, with the answers it gave."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser()
        self._known: dict[str, str | None] = {}

    def find(self, name: str) -> str:
        """The file a row means: as it is named if it exists, else the longest tail of its name in here."""
        if name not in self._known:
            self._known[name] = self._look(name)
        path = self._known[name]
        if path is None:
            raise BadRow(MISSING, f"no file {name} in {self.root}")
        return path

    def clips(
        self, names: Sequence[str], begin: float | None = None, end: float | None = None
    ) -> tuple[Clip, ...]:
        """The clips of a task whose row names these files."""
        if len(names) == 1:
            return (Clip(id="video", path=self.find(names[0]), begin=begin, end=end),)
        return tuple(
            Clip(id=f"video {i}", path=self.find(name), begin=begin, end=end)
            for i, name in enumerate(names, start=1)
        )

    def _look(self, name: str) -> str | None:
        if name.startswith("/") and _is_file(Path(name)):
            return name
        parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
        tails = (self.root.joinpath(*parts[begin:]) for begin in range(len(parts)))
        return next((str(path) for path in tails if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a text that is no path at all is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
