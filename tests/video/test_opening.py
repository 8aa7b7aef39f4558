import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from eva_lightning.device import use_device
from eva_lightning.faults import UsageError
from eva_lightning.video import opening, torchcodec_decoder
from eva_lightning.video.opening import open_decoder
from eva_lightning.video.pyav_decoder import PyAVDecoder


def test_auto_is_pyav_where_there_is_no_card(video, monkeypatch):
    monkeypatch.setattr(opening, "cuda_decodes", lambda: False)
    with open_decoder(video.path) as decoder:
        assert isinstance(decoder, PyAVDecoder)


def test_an_unknown_decoder_is_refused_with_the_known_ones(video):
    with pytest.raises(
        UsageError, match="no decoder 'gpu'; choose one of auto, pyav, torchcodec-cpu, cpu, cuda"
    ):
        open_decoder(video.path, "gpu")


def test_decoders_are_opened_on_the_card_of_the_process(video, monkeypatch):
    """In a thread, as tools do it: CUDA would take the first card there."""
    opened = []
    monkeypatch.setattr(
        torchcodec_decoder, "TorchcodecDecoder", lambda path, where, **_: opened.append(where)
    )
    use_device(torch.device("cuda", 2))
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(open_decoder, video.path, "cuda").result()
            pool.submit(open_decoder, video.path, "cpu").result()
    finally:
        use_device(None)
    assert opened == ["cuda:2", "cpu"]


def test_the_way_through_pyav_imports_no_torch(video):
    code = (
        "import sys; from eva_lightning.video.frame_store import FrameStore\n"
        f"print(FrameStore(device='pyav').frames({str(video.path)!r}, [1.0], 28, 28)[0].time)\n"
        "print(sorted({'torch', 'torchcodec'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["1.0", "[]"]
