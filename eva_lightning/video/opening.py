"""The opening of files: by PyAV on machines without a card, by torchcodec on those with one.

A still picture is a video of one frame, and PyAV's everywhere: no card decodes it.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import get_args

from eva_lightning.faults import UsageError
from eva_lightning.video.container import picture_kind
from eva_lightning.video.decoder import Decoder, Device
from eva_lightning.video.header import MAX_FRAME_PIXELS
from eva_lightning.video.pyav_decoder import PyAVDecoder


def open_decoder(
    path: str | Path,
    device: Device = "auto",
    *,
    max_frame_pixels: int = MAX_FRAME_PIXELS,
    index_dir: str | Path | None = None,
    threads: int = 1,
) -> Decoder:
    """Open a video.

    Args:
        path: A video file.
        device: auto, pyav, torchcodec-cpu (also cpu) or cuda; auto is cuda where torchcodec and a card are
            there, else pyav.
        max_frame_pixels: Files with larger native frames are refused before anything is decoded.
        index_dir: Directory in which packet indexes are kept between runs; None keeps them in memory.
        threads: CPU threads that decode one group of pictures.
    """
    if device not in get_args(Device):
        raise UsageError(f"there is no decoder {device!r}; choose one of {', '.join(get_args(Device))}")
    still = picture_kind(path) is not None
    if still or not (on_a_card(device) or device in ("torchcodec-cpu", "cpu")):
        return PyAVDecoder(path, max_frame_pixels=max_frame_pixels, index_dir=index_dir, threads=threads)
    from eva_lightning.video.torchcodec_decoder import TorchcodecDecoder

    where = _own_card() if on_a_card(device) else "cpu"
    return TorchcodecDecoder(
        path, where, max_frame_pixels=max_frame_pixels, index_dir=index_dir, threads=threads
    )


def _own_card() -> str:
    """This process's GPU, by number: plain `cuda` is that of the calling thread, mostly the first."""
    from eva_lightning.device import own_card

    card = own_card()
    return str(card) if card.type == "cuda" else "cuda"


def on_a_card(device: Device) -> bool:
    """Whether videos are decoded by a card's video engine."""
    return device == "cuda" or (device == "auto" and cuda_decodes())


@cache
def cuda_decodes() -> bool:
    """Whether videos can be decoded on a card here. Imports torch only where there may be one."""
    if "torch" not in sys.modules and not os.path.exists("/dev/nvidiactl") and not os.path.exists("/dev/dxg"):
        return False
    from eva_lightning.video.torchcodec_decoder import load_torchcodec

    try:
        import torch

        if not torch.cuda.is_available():
            return False
        load_torchcodec("cuda")
    except (ImportError, UsageError):
        return False
    return True
