"""Throughput: how fast an iteration was, and where its seconds went. It measures; it changes nothing."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from eva_lightning.ranks import gathered

if TYPE_CHECKING:
    from eva_lightning.modules.base import PolicyModule


class Throughput(Callback):
    """Logs seconds by phase under `time/` and rates under `throughput/`, for all ranks together.

    `time/iteration` is the whole iteration; `time/<phase>` the mean over ranks; `time/looking_per_collect`
    how many seconds of tools (decoding) each second of collecting held, above 1 where they run side by side.
    Rates are per second of iteration: `throughput/tokens` (frames expanded), `written`, `frames`,
    `trajectories`. Peak memory of the hungriest rank is `throughput/peak_ram_gib` (since the process began)
    and `peak_gpu_gib` (in this iteration).
    """

    def __init__(self) -> None:
        self._began = 0.0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._began = time.perf_counter()
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: PolicyModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        mine = {
            "seconds": time.perf_counter() - self._began,
            "phases": dict(pl_module.phases),
            "counts": dict(pl_module.counts),
            "peaks": _peaks(pl_module.device),
        }
        pl_module.log_dict(measures(gathered([mine])), batch_size=1, rank_zero_only=True)


def measures(ranks: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What is logged, of what each rank measured.

    >>> phases = {"collect": 2.0, "looking": 3.0}
    >>> one = {"seconds": 4.0, "phases": phases, "counts": {"frames": 8}, "peaks": {}}
    >>> two = measures([one, one])
    >>> two["throughput/frames"], two["time/looking_per_collect"]
    (4.0, 1.5)
    """
    seconds = max(rank["seconds"] for rank in ranks)  # ranks wait for the slowest
    phases, counts = (_columns(ranks, name) for name in ("phases", "counts"))
    found = {"time/iteration": seconds}
    found |= {f"time/{name}": sum(values) / len(ranks) for name, values in phases.items()}
    collecting = sum(phases.get("collect", ()))
    if collecting > 0 and "looking" in phases:  # one waits for a rollout in the background without looking
        found["time/looking_per_collect"] = sum(phases["looking"]) / collecting
    found |= {f"throughput/{name}": sum(values) / max(seconds, 1e-9) for name, values in counts.items()}
    return found | {f"throughput/{name}": max(values) for name, values in _columns(ranks, "peaks").items()}


def _columns(ranks: Sequence[Mapping[str, Any]], key: str) -> dict[str, list[float]]:
    """The values of each name; a rank that did not measure it is left out."""
    names = dict.fromkeys(name for rank in ranks for name in rank[key])
    return {name: [float(rank[key][name]) for rank in ranks if name in rank[key]] for name in names}


def _peaks(device: torch.device) -> dict[str, float]:
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss counts bytes there, KiB elsewhere
    peaks = {"peak_ram_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30}
    if device.type == "cuda":
        peaks["peak_gpu_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return peaks
