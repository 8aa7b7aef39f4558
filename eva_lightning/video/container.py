"""Containers: which kinds of files are opened at all, how, and for how long one may take.

Only what holds its pictures itself is a video here. A playlist (HLS, DASH, ffconcat, SDP, a numbered series
of pictures) would make FFmpeg open whatever files it names, or wait for ever for one more; so the kinds that
are opened are listed, and FFmpeg tells them apart by their content. What is in an open file is others'
business.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

from eva_lightning.faults import VideoError

CONTAINERS = ("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "ogg", "asf", "wav", "mp3", "flac", "aac")
"""FFmpeg's names of the containers that are opened; none of them opens a second file. The last four hold
sound alone."""

SPELLED = "mp4, mkv, webm, mov, avi, ts, mpg, flv, ogv, wmv, or one picture"
"""The same, as users call them."""

PICTURES = {
    "png_pipe": (b"\x89PNG\r\n\x1a\n",),
    "jpeg_pipe": (b"\xff\xd8\xff",),
    "gif": (b"GIF87a", b"GIF89a"),
    "tiff_pipe": (b"II*\0", b"MM\0*"),
}
"""FFmpeg's names of the kinds of picture files that begin with these bytes; see `picture_kind`."""

OPEN_SECONDS = 60.0
"""How long a file may take to be opened, its header to be read."""

READ_SECONDS = 60.0
"""How long the next packet may take."""


def picture_kind(path: str | Path) -> str | None:
    """FFmpeg's name of the kind of a picture file, by its first bytes; None for anything else."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError:
        return None  # told by whoever opens it
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "bmp_pipe"
    return next((kind for kind, begins in PICTURES.items() if head.startswith(begins)), None)


def file_address(path: str | Path) -> str:
    """A path as FFmpeg must be told it: whatever it looks like, it is a local file and no address."""
    return "file:" + os.path.abspath(path)


def open_container(path: str | Path, *, generated: bool = False) -> Any:
    """An open file; VideoError for one that would open others.

    Args:
        path: A local file.
        generated: Derive the times that its packets do not carry.
    """
    # FFmpeg takes a picture for one of a series where its name has a number in it, so it is told the kind.
    kind = picture_kind(path)
    options = {"protocol_whitelist": "file", "format_whitelist": kind or ",".join(CONTAINERS)}
    if generated:
        options["fflags"] = "+genpts"
    with reading(path):
        try:
            return av.open(
                file_address(path),
                format=kind,
                options=options,
                metadata_errors="ignore",
                timeout=(OPEN_SECONDS, READ_SECONDS),
            )
        except av.error.ExitError:
            raise late(path, OPEN_SECONDS, "open") from None
        except av.error.ArgumentError as error:  # what FFmpeg says of a kind that is not in the list
            raise VideoError(
                f"{path}: can not be read as a video (not of a kind that is opened here: {SPELLED}; "
                "or its begin is damaged); make one file of it: ffmpeg -i IN OUT.mp4"
            ) from error


def late(path: str | Path, seconds: float, what: str) -> VideoError:
    """What is said of a file whose deadline has passed."""
    return VideoError(f"{path}: took longer than {seconds:g} s to {what}; check the disk it lies on")


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Whatever FFmpeg says of a file, said as one line that names the file."""
    try:
        yield
    except VideoError:
        raise
    except av.error.ExitError:
        raise late(path, READ_SECONDS, "read") from None
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        # PyAV's errors repeat the path and the number; the words in between are what a person can use.
        what = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise VideoError(
            f"{path}: can not be read as a video ({what.lower()}); check that it plays, or fetch it again"
        ) from error


def video_stream(container: Any, path: str | Path) -> Any:
    """The video stream of an open file; VideoError if it has none (a cover picture is none)."""
    best = container.streams.best("video")
    if best is None or best.disposition & av.stream.Disposition.attached_pic:
        raise VideoError(f"{path}: has no video stream; give a file with pictures")
    return best
