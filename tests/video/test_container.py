"""Which files are opened at all: videos in one file, by what is in them and not by what they are called."""

import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from eva_lightning.faults import UsageError, VideoError
from eva_lightning.video import container as module
from eva_lightning.video.audio import read_audio
from eva_lightning.video.container import open_container
from eva_lightning.video.opening import open_decoder
from eva_lightning.video.packet_index import build_index
from eva_lightning.video.pyav_decoder import PyAVDecoder
from eva_lightning.video.torchcodec_decoder import TorchcodecDecoder, load_torchcodec
from tests.video import footage


def live(segment):
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{segment}\n"


def dash(segment):
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT6S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="0" bandwidth="1">'
        f"<BaseURL>{segment}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )


def sdp(segment):
    return "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5000 RTP/AVP 96\n"


PLAYLISTS = {
    "live.m3u8": live,
    "whole.m3u8": lambda segment: live(segment) + "#EXT-X-ENDLIST\n",
    "above.m3u8": lambda segment: live(f"../{segment.parent.name}/{segment.name}") + "#EXT-X-ENDLIST\n",
    "concat.mp4": lambda segment: f"ffconcat version 1.0\nfile {segment.name}\n",
    "itself.mp4": lambda segment: "ffconcat version 1.0\nfile itself.mp4\n",
    "dash.mpd": dash,
    "call.sdp": sdp,
    "pictures%d.jpg": lambda segment: "one picture of many",
}


@pytest.fixture
def segment(videos, tmp_path):
    path = tmp_path / "segment.ts"
    path.write_bytes(videos["transport stream"].path.read_bytes())
    return path


def decoders():
    try:
        load_torchcodec("cpu")
    except UsageError:
        return [PyAVDecoder]
    return [PyAVDecoder, TorchcodecDecoder]


@pytest.mark.parametrize("decoder", decoders())
@pytest.mark.parametrize("name", PLAYLISTS)
def test_what_opens_further_files_is_no_video(name, decoder, segment, tmp_path):
    path = tmp_path / name
    path.write_text(PLAYLISTS[name](segment))
    code = (
        f"from {decoder.__module__} import {decoder.__name__}\n"
        f"from eva_lightning.faults import VideoError\n"
        f"try: {decoder.__name__}({str(path)!r})\n"
        "except VideoError as refused: print('refused:', refused)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert f"refused: {path}: can not be read as a video" in run.stdout
    if "dash" not in name:  # which the FFmpeg inside PyAV's wheel does not know at all
        assert "(not of a kind that is opened here: mp4, mkv, " in run.stdout
    with pytest.raises(VideoError, match="can not be read as a video"):
        read_audio(path, 0, 1)


def test_a_series_of_pictures_is_not_gathered_by_its_name(tmp_path):
    for number in range(3):
        Image.fromarray(footage.picture(number)).save(tmp_path / f"p{number}.jpg")
    path = tmp_path / "p%d.jpg"
    Image.fromarray(footage.picture(9)).save(path)
    with open_decoder(path, "pyav") as decoder:
        assert decoder.facts.frames == 1
        assert footage.number_in(decoder.frames([0.0], 112, 168)[0].pixels) == 9


@pytest.mark.parametrize("name", ["clip.m3u8", "clip.jpg", "clip", "http:clip.sdp"])
def test_a_video_is_one_whatever_it_is_called(name, video, tmp_path):
    path = tmp_path / name
    path.write_bytes(video.path.read_bytes())
    for decoder in decoders():
        with decoder(path) as opened:
            assert footage.number_in(opened.frames([1.0], 112, 168)[0].pixels) == 25


def test_a_relative_path_is_never_taken_for_an_address(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("concat:clip.mp4")
    path.write_bytes(video.path.read_bytes())
    for decoder in decoders():
        with decoder(path) as opened:
            assert footage.number_in(opened.frames([1.0], 112, 168)[0].pixels) == 25


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp", "gif", "tif"])
def test_a_picture_is_a_video_of_one_frame_whatever_it_is_called(kind, tmp_path):
    Image.fromarray(footage.picture(5)).save(tmp_path / f"picture.{kind}")
    misnamed = tmp_path / "picture.mp4"
    misnamed.write_bytes((tmp_path / f"picture.{kind}").read_bytes())
    for path in (tmp_path / f"picture.{kind}", misnamed):
        with open_decoder(path, "cpu" if len(decoders()) > 1 else "pyav") as decoder:
            assert isinstance(decoder, PyAVDecoder) and decoder.facts.frames == 1
            assert footage.number_in(decoder.frames([0.0], 112, 168)[0].pixels) == 5


@pytest.mark.parametrize("name", ["mp4", "mkv", "webm", "ts", "avi", "mov", "flv", "mpg", "ogv"])
def test_the_usual_containers_are_opened(name, tmp_path):
    codec = {"webm": "libvpx-vp9", "ogv": "libtheora"}.get(name, "libx264")
    if codec not in av.codecs_available:
        pytest.skip(f"no {codec} here")
    options = None if codec != "libx264" else footage.X264
    path = footage.write(
        tmp_path / f"clip.{name}", codec, [i / 25 for i in range(25)], options=options or {"g": "12"}
    ).path
    with open_container(path) as container:
        assert container.streams.video


def test_a_read_that_takes_too_long_is_told_and_is_no_torn_end(video, monkeypatch):
    """The clock of the deadline is set so short that every read is late."""
    monkeypatch.setattr(module, "OPEN_SECONDS", 1e-9)
    with pytest.raises(VideoError, match="took longer than 1e-09 s to open; "):
        open_container(video.path)
    monkeypatch.setattr(module, "OPEN_SECONDS", 30.0)
    monkeypatch.setattr(module, "READ_SECONDS", 1e-9)
    with pytest.raises(VideoError, match="took longer than 1e-09 s to read; "):
        build_index(video.path)
    monkeypatch.setattr(module, "READ_SECONDS", 30.0)
    with PyAVDecoder(video.path) as decoder:
        monkeypatch.setattr(module, "READ_SECONDS", 1e-9)
        late = PyAVDecoder.__new__(PyAVDecoder)
        late.__dict__.update(decoder.__dict__)
        late._read_carefully()  # opens the file again
        with pytest.raises(VideoError, match="took longer"):
            late.frames([5.0], 56, 84)
        late.close()


def test_a_decoder_that_lay_idle_is_not_late(video, monkeypatch):
    monkeypatch.setattr(module, "READ_SECONDS", 0.2)
    with PyAVDecoder(video.path) as decoder:
        first = decoder.frames([1.0], 56, 84)[0].pixels
        decoder.frames([1.04, 1.08], 56, 84)
        time.sleep(0.4)
        assert not decoder.frames([5.0], 56, 84)[0].note
        assert np.array_equal(decoder.frames([1.0], 56, 84)[0].pixels, first)
