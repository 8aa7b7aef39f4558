"""Long rows: how an update grows with the tokens of a pass: `python bench/long_rows.py [--json]`.

A tiny policy learns from one row, there and back: documents of 2,500 tokens, a tenth of them written, 5,000
to 80,000 tokens in all, which is how trajectories share a pass. CPU seconds and the peak of the process's
memory above where it began, with the best straight line through them: its R2, and by how much the worst point
is off it. Beside it rows of one trajectory, whose every token sees all before it, to 20,000: what of them
grows with the square. One thread, medians of three; two minutes on a core that is not shared.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.policy.inputs import TrajectoryInputs, lay_out
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.policy.logprobs import Scorer
from eva_lightning.policy.tiny import build_tiny

DOCUMENT = 2_500
PACKED = (5_000, 10_000, 20_000, 40_000, 80_000)
ALONE = (2_500, 5_000, 10_000, 20_000)


def document(tokens: int) -> TrajectoryInputs:
    """A trajectory of ordinary ids."""
    return TrajectoryInputs(
        ids=torch.randint(300, 500, (tokens,), generator=torch.Generator().manual_seed(tokens)),
        loss_mask=torch.arange(tokens) % 10 == 9,
        positions=torch.arange(tokens).expand(3, tokens),
    )


def spent(call: Callable[[], None]) -> tuple[float, float]:
    """CPU seconds, and the bytes of this process at its peak meanwhile."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
    began = time.process_time()
    call()
    return time.process_time() - began, _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def line(tokens: Sequence[int], values: Sequence[float]) -> tuple[float, float]:
    """R2 of the best straight line, and the largest distance to it in terms of the line.

    Each point counts by its own size, or the largest alone would draw the line.
    """
    slope, start = np.polyfit(tokens, values, 1, w=1 / np.array(values))
    fit = slope * np.array(tokens) + start
    rest = np.array(values) - fit
    return float(1 - (rest**2).sum() / np.var(values) / len(values)), float(np.abs(rest / fit).max())


def measure(rounds: int) -> dict[str, float]:
    """Seconds and bytes of each row, and how straight their lines are."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = str(build_tiny(folder, corpus=agent_text()))
        policy = load_policy(PolicyConfig(path=path, dtype="float32"))
    policy.model.train()
    scorer = Scorer(policy.model)

    def update(row: Sequence[int]) -> tuple[float, float]:
        batch = lay_out([document(tokens) for tokens in row])
        found = spent(lambda: scorer(batch)[0].sum().backward())
        policy.model.zero_grad()
        return found

    update([DOCUMENT])
    begin = _status("VmRSS")
    rows = {tokens: [DOCUMENT] * (tokens // DOCUMENT) for tokens in PACKED}
    packed = {tokens: [update(row) for _ in range(rounds)] for tokens, row in rows.items()}
    alone = {tokens: [update([tokens]) for _ in range(rounds)] for tokens in ALONE}
    seconds, peaks = ([median(run[k] for run in packed[tokens]) for tokens in PACKED] for k in (0, 1))
    single = [median(run[0] for run in alone[tokens]) for tokens in ALONE]
    square, _ = np.linalg.lstsq(np.array([[n**2, n] for n in ALONE], dtype=float), np.array(single))[0]
    found = {f"seconds_{tokens}": value for tokens, value in zip(PACKED, seconds, strict=True)}
    found |= {f"gb_{tokens}": (value - begin) / 1e9 for tokens, value in zip(PACKED, peaks, strict=True)}
    found |= {f"alone_seconds_{tokens}": value for tokens, value in zip(ALONE, single, strict=True)}
    for name, values in (("seconds", seconds), ("gb", peaks)):
        found[f"{name}_r2"], found[f"{name}_off"] = line(PACKED, values)
    found["alone_squared_share"] = float(square * ALONE[-1] ** 2 / single[-1])
    return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one line: a JSON object")
    parser.add_argument("--rounds", type=int, default=3, help="how often each row is learned from")
    words = parser.parse_args()
    found = measure(words.rounds)
    if words.json:
        print(json.dumps(found))
        return
    for tokens in PACKED:
        print(f"{tokens:7,} tokens {found[f'seconds_{tokens}']:8.2f} s {found[f'gb_{tokens}']:6.2f} GB")
    print(f"\nseconds: R2 {found['seconds_r2']:.4f}, the worst point {found['seconds_off']:.1%} off the line")
    print(f"memory:  R2 {found['gb_r2']:.4f}, the worst point {found['gb_off']:.1%} off the line\n")
    for tokens in ALONE:
        print(f"{tokens:7,} tokens of one trajectory {found[f'alone_seconds_{tokens}']:8.2f} s")
    print(f"of the last, {found['alone_squared_share']:.0%} grow with the square")


if __name__ == "__main__":
    main()
