"""Footage that is made once a session, and what decoding it from begin to end gives."""

from functools import cache

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from tests.video import footage


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """One file of each kind, by name."""
    return footage.every_kind(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="session")
def video(videos):
    """A plain one: 6 s of H.264 with B-frames, a key frame every second."""
    return videos["h264"]


@pytest.fixture(scope="session")
def sequential():
    """All frames of a file, decoded one after the other with nothing skipped, in the order shown."""

    @cache
    def decode(path, height, width) -> list[np.ndarray]:
        scaler = VideoReformatter()
        with av.open(str(path)) as container:
            return [
                scaler.reformat(picture, width, height, "rgb24", interpolation="BICUBIC").to_ndarray()
                for picture in container.decode(video=0)
            ]

    return decode
