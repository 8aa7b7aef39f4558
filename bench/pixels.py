"""Pixels: how fast frames become pixel values, side by side with the Hugging Face image processor.

`python bench/pixels.py [--json] [--rounds 15]`: 16 frames of 448 x 448, both sides get the same bytes, nobody
resizes, and the numbers are compared before the clock runs. One process, as many threads as torch is given.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from eva_lightning.policy.families.qwen25_vl import Qwen25VL
from eva_lightning.policy.pixels import patches, pixel_values


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def compare(rounds: int) -> dict[str, float]:
    """Median milliseconds of both and the median ratio theirs / ours."""
    dice = np.random.default_rng(0)
    frames = [dice.integers(0, 256, (448, 448, 3), dtype=np.uint8) for _ in range(16)]
    processor = Qwen2VLImageProcessorPil()

    def theirs() -> torch.Tensor:
        values: torch.Tensor = processor(images=frames, return_tensors="pt", do_resize=False)["pixel_values"]
        return values

    def ours() -> torch.Tensor:
        return pixel_values(patches(frames, Qwen25VL.images)[0], Qwen25VL.images)

    apart = float((ours() - theirs()).abs().max())
    if apart > 1e-6:
        raise SystemExit(f"pixel values differ by {apart}")
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return {
        "pixels_ms": 1e3 * statistics.median(mine for mine, _ in pairs),
        "hf_ms": 1e3 * statistics.median(other for _, other in pairs),
        "pixels_vs_hf": statistics.median(other / mine for mine, other in pairs),
        "largest_difference": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--rounds", type=int, default=15, help="how often each side runs")
    arguments = parser.parse_args()
    result = compare(arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
    else:
        print("pixel values of 16 frames, {pixels_ms:.1f} ms; Hugging Face {hf_ms:.1f} ms".format(**result))
        print(
            "{pixels_vs_hf:.2f} times as fast; largest difference {largest_difference:.1e}".format(**result)
        )


if __name__ == "__main__":
    main()
