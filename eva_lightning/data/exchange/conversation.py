"""A conversation as chat formats know it: who said what, where images stand, one mark.

Both public formats are spellings of it; trajectories become it and come from it. Frames, tokens and scores
are unknown here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eva_lightning.files.encoding import FieldError
from eva_lightning.records import Role

IMAGE = "<image>"
"""Where an image stands in a text."""

EXTRA = "eva"
"""The one column that is ours; public trainers ignore it."""

Piece = str | None
"""A piece of a message: text, or None for an image."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that a format keeps apart from the words."""

    name: str
    """Name of the tool."""
    arguments: Mapping[str, Any]
    """What it is given."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """One message."""

    role: Role
    """Who speaks."""
    pieces: tuple[Piece, ...]
    """Text and images in reading order."""
    calls: tuple[Call, ...] = ()
    """Calls written apart from the words; ours stand in the words."""

    @property
    def words(self) -> str:
        """The message without its images."""
        return "".join(piece for piece in self.pieces if piece is not None)

    @property
    def spelled(self) -> str:
        """The message as one text."""
        return spell(self.pieces)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """What a row of chat data says."""

    said: tuple[Said, ...]
    """The messages in order."""
    opening: int | None = None
    """How many of them come before the first turn of the model; None: all up to it."""
    images: tuple[str, ...] | None = None
    """Paths of the images in reading order; None where there are no image files."""
    mark: bool | None = None
    """Good or bad; None is unmarked."""
    extra: str | None = None
    """What our own column holds; None in rows of others."""

    @property
    def begin(self) -> int:
        """Place of the first turn of the model."""
        turns = (place for place, one in enumerate(self.said) if one.role == "assistant")
        return next(turns, len(self.said)) if self.opening is None else self.opening

    @property
    def placeholders(self) -> int:
        """Images that the messages speak of."""
        return sum(piece is None for one in self.said for piece in one.pieces)

    @property
    def trains_elsewhere(self) -> bool:
        """Whether questions and turns alternate and a turn is last, as public trainers want it."""
        spoken = [one.role == "assistant" for one in self.said if one.role != "system"]
        return bool(spoken) and spoken == [place % 2 == 1 for place in range(len(spoken))] and spoken[-1]


def spell(pieces: Iterable[Piece]) -> str:
    """Pieces as one text. Words that look like an image are bent a little, or trainers would count them.

    >>> spell(["see ", None, " and <image>"])
    'see <image> and <image >'
    """
    return "".join(IMAGE if piece is None else bend(piece) for piece in pieces)


def bend(text: str) -> str:
    """A text without the letters by which trainers know an image, a video or a sound."""
    return re.sub("<(image|video|audio)>", r"<\1 >", text)


def cut(text: str) -> tuple[Piece, ...]:
    """One text as pieces.

    >>> cut("see <image><image>")
    ('see ', None, None)
    """
    several = re.split(f"({IMAGE})", text)
    return tuple(None if one == IMAGE else one for one in several if one)


def paths(value: Any, field: str = "images") -> tuple[str, ...] | None:
    """The image files a row names."""
    if value is None:
        return None
    several = value if isinstance(value, (list, tuple)) else [value]
    named: list[str] = []
    for place, one in enumerate(several):
        path = one.get("path") if isinstance(one, dict) else one
        if not isinstance(path, str) or not path:
            raise FieldError(f"{field}[{place}]: want the path of an image file")
        named.append(path)
    return tuple(named)


def marked(row: Mapping[str, Any], field: str) -> bool | None:
    """The mark a row holds; 0 and 1 are marks too."""
    value = row.get(field)
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise FieldError(f"{field}: {value!r} is neither true nor false")


def refuse_what_is_not_read(row: Mapping[str, Any]) -> None:
    """Columns that would change what a row says, and that have no place in a trajectory."""
    for field in ("videos", "video", "audios", "audio"):
        if row.get(field):
            raise FieldError(
                f"{field}: trajectories come of images; read rows of videos by --to tasks --videos DIR"
            )
    for field in ("chosen", "rejected"):
        if row.get(field):
            raise FieldError(f"{field}: pairs are not read; make two rows of it, marked good and bad")


def extra_of(row: Mapping[str, Any]) -> str | None:
    """Our own column, if the row has it."""
    value = row.get(EXTRA)
    if value is None or isinstance(value, str):
        return value or None
    raise FieldError(f"{EXTRA}: want a text")


def placed(said: Sequence[Said], images: tuple[str, ...] | None) -> tuple[Said, ...]:
    """The messages with every image at its place; where none is said, all come before the first question."""
    if not images or any(None in one.pieces for one in said):
        return tuple(said)
    first = next((place for place, one in enumerate(said) if one.role == "user"), None)
    if first is None:
        return tuple(said)
    asked = Said(role="user", pieces=(*[None] * len(images), *said[first].pieces))
    return (*said[:first], asked, *said[first + 1 :])
