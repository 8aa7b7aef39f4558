import numpy as np
import pytest
import torch

from eva_lightning.faults import UsageError, VideoError
from eva_lightning.video import torchcodec_decoder as module
from eva_lightning.video.pyav_decoder import PyAVDecoder
from eva_lightning.video.torchcodec_decoder import TorchcodecDecoder, load_torchcodec
from tests.video import footage

KINDS = (
    "h264",
    "hevc open gop",
    "uneven rate",
    "vp9",
    "mpeg4",
    "transport stream",
    "late begin",
    "edit list",
)


@pytest.fixture(scope="session")
def torchcodec():
    try:
        return load_torchcodec("cpu")
    except UsageError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", KINDS)
def test_both_decoders_show_the_same_frames(kind, videos, torchcodec):
    video = videos[kind]
    times = [3.3, 0.0, 0.05, 2.0, 2.01, 4.0, 99.0, 3.3]
    with PyAVDecoder(video.path) as pyav, TorchcodecDecoder(video.path) as other:
        assert pyav.facts == other.facts
        for coarse in (False, True):
            ours = pyav.frames(times, 112, 168, coarse=coarse)
            theirs = other.frames(times, 112, 168, coarse=coarse)
            assert [frame.time for frame in ours] == [frame.time for frame in theirs]
            for one, two in zip(ours, theirs, strict=True):  # at native size nothing is resized
                assert footage.number_in(one.pixels) == footage.number_in(two.pixels)
                assert np.array_equal(one.pixels, two.pixels)


def test_resized_frames_differ_by_the_filter_only(video, torchcodec):
    with PyAVDecoder(video.path) as pyav, TorchcodecDecoder(video.path) as other:
        one, two = pyav.frames([1.0], 56, 84)[0].pixels, other.frames([1.0], 56, 84)[0].pixels
    assert two.shape == (56, 84, 3) and two.dtype == np.uint8 and two.flags.owndata
    assert np.abs(one.astype(int) - two).mean() < 4


def test_a_turned_video_is_upright(video, tmp_path, torchcodec):
    with TorchcodecDecoder(footage.turned(video, tmp_path / "turned.mp4").path) as decoder:
        assert (decoder.facts.height, decoder.facts.width) == (168, 112)
        assert footage.number_in(np.rot90(decoder.frames([1.0], 168, 112)[0].pixels)) == 25


def test_frames_that_torchcodec_gets_wrong_come_from_pyav(video, torchcodec, monkeypatch, sequential):
    with TorchcodecDecoder(video.path) as decoder:
        real = decoder._video.get_frames_at
        wrong = lambda frames: real([frame + 1 for frame in frames])  # noqa: E731
        monkeypatch.setattr(decoder, "_video", type("Off", (), {"get_frames_at": staticmethod(wrong)})())
        frame = decoder.frames([1.0], 56, 84)[0]
    assert frame.time == 1.0 and np.array_equal(frame.pixels, sequential(video.path, 56, 84)[25])


def test_a_damaged_frame_does_not_cost_the_others(video, tmp_path, torchcodec):
    content = bytearray(video.path.read_bytes())
    at = len(content) // 2
    content[at : at + 2000] = bytes(2000)
    path = tmp_path / "hole.mp4"
    path.write_bytes(content)
    with TorchcodecDecoder(path) as decoder:
        frames = decoder.frames([i / 5 for i in range(30)], 56, 84)
    assert len(frames) == 30 and any(frame.note for frame in frames) and not frames[0].note


def test_frames_for_which_the_card_has_no_memory_come_from_pyav(video, torchcodec, monkeypatch, sequential):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with TorchcodecDecoder(video.path) as decoder:
        monkeypatch.setattr(module, "_resized", full)
        frame = decoder.frames([1.0], 56, 84)[0]
    assert np.array_equal(frame.pixels, sequential(video.path, 56, 84)[25])


def test_without_a_card_cuda_says_what_is_missing(video, torchcodec):
    with pytest.raises(UsageError, match="card"):
        TorchcodecDecoder(video.path, "cuda")


def test_without_torchcodec_the_message_says_what_to_install(video, monkeypatch):
    def fail(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(module.importlib, "import_module", fail)
    with pytest.raises(UsageError, match=r"torchcodec==0\.13\.0 and a system FFmpeg"):
        TorchcodecDecoder(video.path)


def test_huge_frames_are_refused_before_decoding(video, torchcodec):
    with pytest.raises(VideoError, match="168x112 are over the limit of 100 pixels"):
        TorchcodecDecoder(video.path, max_frame_pixels=100)
