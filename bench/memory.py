"""Memory: what scores of tokens and waiting trajectories take: `python bench/memory.py [--json]`.

Scores: log-probabilities of 20,000 tokens over a vocabulary of 151,936, forwards and backwards, in a process
of its own; beside the naive way, whose logits, their softmax and its gradient would be there at once. That
peak is computed, not suffered (36 GB); values and gradients are compared on 300 tokens, where both fit.

Trajectories: bytes of the host that each of 64 takes that wait for their update, of four looks at 15 frames
of 448 x 448 and ten times as many, and of the ids that all of them share, once a process; beside peers that
keep frames as PIL images, or as base64 text. About five minutes.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eva_lightning.policy.shared_ids import share_ids
from eva_lightning.policy.token_scores import TokenScores, rows_of
from eva_lightning.records import Clip, FrameRef, Message, Observation, Task, Trajectory, Turn

TOKENS, VOCABULARY, WIDTH = 20_000, 151_936, 64
LOOKS, FRAMES, SIDE = 4, 15, 448
NOBODY = torch.tensor([], dtype=torch.int64)


def peak() -> int:
    """Bytes that this process has had at most."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _head(tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    dice = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, WIDTH, generator=dice).requires_grad_()
    weight = (torch.randn(VOCABULARY, WIDTH, generator=dice) / 8).requires_grad_()
    return hidden, weight, torch.randint(0, VOCABULARY, (tokens,), generator=dice)


def ours(hidden: Tensor, weight: Tensor, targets: Tensor, entropy: bool = False) -> Tensor:
    rows = rows_of(VOCABULARY)
    logprobs: Tensor = TokenScores.apply(hidden, weight, None, targets, NOBODY, 1.0, entropy, rows)[0]
    return logprobs


def naive(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return (hidden @ weight.T).log_softmax(1).gather(1, targets[:, None])[:, 0]


def rise(tokens: int, entropy: bool) -> int:
    """Bytes by which a pass over so many tokens raises the peak of this process, gradients included."""
    given = _head(tokens)
    before = peak()
    ours(*given, entropy=entropy).sum().backward()
    return peak() - before


def apart(tokens: int = 300) -> dict[str, float]:
    """The largest differences to the naive way, of values and, in units of the largest, of gradients."""
    found = []
    for way in (ours, naive):
        hidden, weight, targets = _head(tokens)
        logprobs = way(hidden, weight, targets)
        logprobs.sum().backward()
        found.append((logprobs.detach(), hidden.grad, weight.grad))
    (values, *gradients), (others, *theirs) = found
    relative = [
        float((a - b).abs().max() / b.abs().max())
        for a, b in zip(gradients, theirs, strict=True)
        if a is not None and b is not None
    ]
    return {"values_apart": float((values - others).abs().max()), "gradients_apart": max(relative)}


def trajectory(number: int, picture: Callable[[int], Any], frames: int) -> tuple[Trajectory, list[Any]]:
    """One that looked four times at so many frames; `picture` makes of a frame what is kept of it."""
    dice = np.random.default_rng(number)
    turns = []
    for look in range(LOOKS):
        shown = tuple(
            FrameRef(clip="v", time=float(frames * look + place), height=SIDE, width=SIDE)
            for place in range(frames)
        )
        ids = dice.integers(0, VOCABULARY, 60).tolist()
        turns.append(
            Turn(
                text="".join(map(chr, dice.integers(97, 123, 240))),
                token_ids=ids,
                logprobs=dice.normal(size=60).tolist(),
                observation=Observation(parts=shown),
                observation_ids=dice.integers(0, VOCABULARY, 35 + frames).tolist(),
            )
        )
    task = Task(id=str(number), clips=(Clip(id="v", path="v.mp4"),), question="What is shown?")
    prompt = (Message(role="user", parts=("".join(map(chr, dice.integers(97, 123, 1600))),)),)
    prompt_ids = dice.integers(0, VOCABULARY, 400).tolist()
    made = share_ids(Trajectory(task=task, prompt=prompt, prompt_ids=prompt_ids, turns=turns))
    return made, [picture(place) for place in range(LOOKS * frames)]


def _noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def _pil(seed: int) -> bytes:
    return _noise(seed).tobytes()  # what an image holds where Python does not see it


def _base64(seed: int) -> str:
    smooth = _noise(seed).resize((14, 14)).resize((SIDE, SIDE))  # a JPEG of noise would be larger than life
    file = io.BytesIO()
    smooth.save(file, "JPEG", quality=90)
    return base64.b64encode(file.getvalue()).decode()


def host_bytes(picture: Callable[[int], Any], count: int, frames: int = FRAMES) -> float:
    """Bytes of one of `count` trajectories that wait."""
    trajectory(0, picture, 1)  # what is made once, and not for each
    tracemalloc.start()
    kept = [trajectory(number, picture, frames) for number in range(count)]
    taken = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    return taken


def shared_bytes() -> float:
    """Bytes of the ids that all trajectories have in common."""
    tracemalloc.start()
    kept = trajectory(0, lambda place: None, FRAMES)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept
    return taken - host_bytes(lambda place: None, 1)


def _alone(what: str, tokens: int) -> int:
    command = [sys.executable, __file__, "--rise", what, str(tokens)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--rise", nargs=2, metavar=("WHAT", "TOKENS"), help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.rise:
        print(rise(int(words.rise[1]), words.rise[0] == "entropy"))
        return
    full = 3 * 4 * TOKENS * VOCABULARY  # logits, their log-softmax, its gradient
    gradients = 4 * WIDTH * (TOKENS + VOCABULARY)
    scores = {what: _alone(what, TOKENS) for what in ("logprobs", "entropy")}
    found: dict[str, float] = {
        "logprob_peak_gb": scores["logprobs"] / 1e9,
        "logprob_and_entropy_peak_gb": scores["entropy"] / 1e9,
        "naive_peak_gb": (full + gradients) / 1e9,
        "logprob_peak_over_naive": scores["logprobs"] / (full + gradients),
        "entropy_peak_over_naive": scores["entropy"] / (full + gradients),
        **apart(),
        "host_bytes_of_shared_ids": shared_bytes(),
        "host_bytes_per_trajectory": host_bytes(lambda place: None, 64),
        "host_bytes_of_600_frames": host_bytes(lambda place: None, 64, 10 * FRAMES),
        "host_bytes_of_pil_images": host_bytes(_pil, 1),
        "host_bytes_of_base64": host_bytes(_base64, 1),
    }
    if words.json:
        print(json.dumps({name: float(f"{value:.4g}") for name, value in found.items()}))
        return
    for name, value in found.items():
        print(f"{name:30} {value:,.6g}")


if __name__ == "__main__":
    main()
