"""The version of a checkpoint: by which form of modules, callbacks and data its state was written.

It stands in the checkpoint; one that has none is of version 1. Raise VERSION when a state is written that an
earlier eva_lightning would read wrongly; raise OLDEST only when one can not be read any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eva_lightning.faults import UsageError

KEY = "eva_lightning"
VERSION = 2
OLDEST = 1


def stamp(checkpoint: dict[str, Any]) -> None:
    """Write down the version."""
    checkpoint[KEY] = {"version": VERSION}


def refuse_unknown(checkpoint: Mapping[str, Any]) -> None:
    """UsageError, with what to do, for a checkpoint that can not be gone on from."""
    version = checkpoint.get(KEY, {}).get("version", 1)
    told = f"the checkpoint is of version {version}, and versions {OLDEST} to {VERSION} can be gone on from"
    if version > VERSION:
        raise UsageError(f"{told}; install the eva_lightning that wrote it")
    if version < OLDEST:
        raise UsageError(
            f"{told}; let the eva_lightning that wrote it export the policy (HuggingFaceExport) and begin "
            "anew from there (policy.path)"
        )
