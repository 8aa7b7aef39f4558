"""The installation: what is here and whether it fits together. Loads no model and measures nothing.

The ranges are those of this project's own metadata, so that they are written down once, in pyproject.toml.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, metadata, requires, version

import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from eva_lightning.engines.vllm.adapter import check_version, installed
from eva_lightning.faults import UsageError
from eva_lightning.reports.diagnosis.finding import Finding
from eva_lightning.video.opening import cuda_decodes
from eva_lightning.video.torchcodec_decoder import load_torchcodec

PROJECT = "eva-lightning"
LOOKED_AT = ("torch", "transformers", "lightning", "peft")


def check_installation(*, needs_vllm: bool = False) -> list[Finding]:
    """A finding for each thing this project stands on. `needs_vllm` makes a missing vLLM a problem."""
    wanted = _ranges()
    if not wanted:
        said = Finding(
            name=PROJECT, level="note", found="not installed, no ranges known", advice="pip install -e ."
        )
        return [said, *_machine(), _torchcodec(), _vllm(needs_vllm), _threads()]
    rows = [_judge("python", platform.python_version(), wanted["python"], "install another Python")]
    for name in LOOKED_AT:
        rows.append(_package(name, wanted[name]))
    return [*rows, *_machine(), _torchcodec(), _vllm(needs_vllm), _threads()]


def _ranges() -> dict[str, SpecifierSet]:
    """Allowed versions by package, the optional ones left out; empty if the project is not installed."""
    try:
        python = SpecifierSet(metadata(PROJECT)["Requires-Python"])
        needed = [Requirement(text) for text in requires(PROJECT) or ()]
    except PackageNotFoundError:
        return {}
    return {"python": python} | {one.name: one.specifier for one in needed if one.marker is None}


def _package(name: str, wanted: SpecifierSet) -> Finding:
    advice = f"pip install '{name}{wanted}'"
    try:
        return _judge(name, version(name), wanted, advice)
    except PackageNotFoundError:
        return Finding(name=name, level="problem", found=f"missing (wants {wanted})", advice=advice)


def _judge(name: str, found: str, wanted: SpecifierSet, advice: str) -> Finding:
    if wanted.contains(found, prereleases=True):
        return Finding(name=name, level="ok", found=f"{found} (wants {wanted})")
    return Finding(name=name, level="problem", found=f"{found} (wants {wanted})", advice=advice)


def _machine() -> list[Finding]:
    """The GPU and its video engine, or that there is none."""
    if not torch.cuda.is_available():
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch has no CUDA"
        return [Finding(name="GPU", level="note", found=f"none ({built}): fine for tests and the demo")]
    card = torch.cuda.get_device_properties(0)
    found = f"{torch.cuda.device_count()} x {card.name}, {card.total_memory / 2**30:.0f} GiB"
    rows = [Finding(name="GPU", level="ok", found=f"{found}, CUDA {torch.version.cuda}")]
    if cuda_decodes():
        rows.append(Finding(name="NVDEC", level="ok", found="videos are decoded on the card"))
    else:
        rows.append(
            Finding(
                name="NVDEC",
                level="note",
                found="not in reach, videos are decoded on the CPU",
                advice="pip install 'torchcodec>=0.17' and a system FFmpeg",
            )
        )
    return rows


def _torchcodec() -> Finding:
    try:
        load_torchcodec("cpu")
    except UsageError as problem:
        return Finding(
            name="torchcodec",
            level="note",
            found="can not be loaded, videos are read with PyAV",
            advice=str(problem),
        )
    return Finding(name="torchcodec", level="ok", found=f"{version('torchcodec')}, with FFmpeg")


def _vllm(needed: bool) -> Finding:
    found = installed()
    try:
        check_version(found)
    except UsageError as problem:
        return Finding(
            name="vllm",
            level="problem" if needed else "note",
            found=found or "not installed",
            advice=str(problem),
        )
    return Finding(name="vllm", level="ok", found=str(found))


def _threads() -> Finding:
    """Two pools of threads that spin while they wait, on the same cores, are 4 to 15 times slower."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    setting = os.environ.get("OMP_NUM_THREADS")
    found = f"{cores} cores, OMP_NUM_THREADS {setting or 'not set'}"
    if setting is None and installed() is not None and not torch.cuda.is_available():
        advice = "export OMP_NUM_THREADS=1, else the threads of vLLM and torch wait for each other"
        return Finding(name="threads", level="note", found=found, advice=advice)
    return Finding(name="threads", level="ok", found=found)
