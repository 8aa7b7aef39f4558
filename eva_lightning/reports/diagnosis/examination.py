"""The examination of one engine: all measurements in order, and what each of them means for a user.

A `Fault` on the way ends the examination and is a finding of its own; what was measured before it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from eva_lightning.engines.base import Engine, RefreshedEngine
from eva_lightning.faults import Fault
from eva_lightning.policy.loading import Policy
from eva_lightning.reports.diagnosis.agreement import (
    FLOAT32_LARGEST,
    HALF_MEAN,
    Agreement,
    Likeness,
    VisionChange,
    after_push,
    after_sleep,
    by_images,
    dtype_of,
    greedy,
    vision_change,
    whole_float32,
)
from eva_lightning.reports.diagnosis.finding import Finding

NO_COPY = "does not apply: this engine writes with the policy's own weights"
NO_SLEEP = "not on this machine: vLLM sleeps on GPUs only"
STAYS_AWAKE = "not measured: the engine was started to stay awake"


@dataclass(kw_only=True)
class Examination:
    """What was measured; None where it could not be."""

    dtype: torch.dtype
    """Type of the policy's weights: it decides what may be put down to rounding."""
    refreshed: bool
    """Whether the engine has a copy of the weights."""
    by_images: dict[int, Agreement] = field(default_factory=dict)
    """Agreement by number of frames in a conversation."""
    after_push: Agreement | None = None
    """Agreement after all weights changed."""
    vision_change: VisionChange | None = None
    """Whether known frames are seen anew after the vision tower changed."""
    after_sleep: Agreement | None = None
    """Agreement after the engine slept."""
    greedy: Likeness | None = None
    """Likeliest tokens beside the trainer's own generation."""
    fault: str = ""
    """What ended the examination early; empty if nothing did."""


def examine(policy: Policy, engine: Engine) -> Examination:
    """Measure everything that this engine has. Policy and engine are left with the weights they came with."""
    seen = Examination(dtype=dtype_of(policy), refreshed=isinstance(engine, RefreshedEngine))
    try:
        with whole_float32():
            seen.by_images = by_images(policy, engine)
            seen.greedy = greedy(policy, engine)
            if isinstance(engine, RefreshedEngine):
                seen.after_push = after_push(policy, engine)
                if policy.images is not None:
                    seen.vision_change = vision_change(policy, engine)
                if getattr(engine, "sleep_level", 0):
                    seen.after_sleep = after_sleep(policy, engine)
    except Fault as fault:
        seen.fault = str(fault)
    return seen


def findings(seen: Examination) -> list[Finding]:
    """One finding a measurement."""
    rows = [
        _agreement(f"log-probs, frames: {images}", found, seen.dtype, "compare the versions above")
        for images, found in seen.by_images.items()
    ]
    if seen.greedy is not None:
        rows.append(_greedy(seen.greedy, seen.dtype))
    rows += _refreshing(seen)
    if seen.fault:
        rows.append(
            Finding(
                name="engine", level="problem", found="failed, the rest is not measured", advice=seen.fault
            )
        )
    return rows


def _refreshing(seen: Examination) -> list[Finding]:
    """What only an engine with its own copy of the weights can get wrong."""
    names = ("after new weights", "after a new vision tower", "after sleep")
    if not seen.refreshed:
        return [Finding(name=name, level="ok", found=NO_COPY) for name in names]
    rows = []
    if seen.after_push is not None:
        advice = "weights do not arrive whole: do not train with this engine"
        rows.append(_agreement(names[0], seen.after_push, seen.dtype, advice))
    if seen.vision_change is not None:
        rows.append(_vision(names[1], seen.vision_change, seen.dtype))
    if seen.after_sleep is not None:
        advice = "the weights do not survive sleep: set sleep_level to 0"
        rows.append(_agreement(names[2], seen.after_sleep, seen.dtype, advice))
    elif not seen.fault:
        found = STAYS_AWAKE if torch.cuda.is_available() else NO_SLEEP
        rows.append(Finding(name=names[2], level="ok", found=found))
    return rows


def _agreement(name: str, found: Agreement, dtype: torch.dtype, advice: str) -> Finding:
    bound = f"largest <= {FLOAT32_LARGEST:g}" if dtype == torch.float32 else f"mean <= {HALF_MEAN:g}"
    good = found.good(dtype)
    return Finding(
        name=name,
        level="ok" if good else "problem",
        found=f"largest {found.largest:.1e}, mean {found.mean:.1e}, {found.tokens} tokens "
        f"({str(dtype).removeprefix('torch.')} wants {bound})",
        advice="" if good else advice,
    )


def _vision(name: str, change: VisionChange, dtype: torch.dtype) -> Finding:
    told = f"from the new one {change.new.largest:.1e}, from the old one {change.old.largest:.1e}"
    match change.seen(dtype):
        case True:
            return Finding(name=name, level="ok", found=f"known frames are seen anew ({told})")
        case None:
            return Finding(name=name, level="note", found=f"the change is too small to tell ({told})")
    return Finding(
        name=name,
        level="problem",
        found=f"known frames are not seen anew ({told})",
        advice="a cache outlives the push: do not train the vision tower with this engine",
    )


def _greedy(found: Likeness, dtype: torch.dtype) -> Finding:
    said = f"{found.equal} of {found.total} conversations as the trainer writes them"
    if found.equal == found.total:
        return Finding(name="likeliest tokens", level="ok", found=said)
    if dtype == torch.float32:
        return Finding(
            name="likeliest tokens",
            level="problem",
            found=said,
            advice="evaluation will differ from the trainer's: compare the versions above",
        )
    return Finding(name="likeliest tokens", level="note", found=f"{said}; rounding decides between near ties")
