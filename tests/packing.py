"""Wheels and sdists for tests, made by the build backend itself from a copy of the source."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEFT_OUT = (
    ".git",
    ".venv",
    "runs",
    "build",
    "dist",
    "site",
    "__pycache__",
    "*.egg-info",
    ".*_cache",
    ".hypothesis",
)


def copy_of_the_source(folder):
    """A copy: setuptools leaves a build folder behind, and reads it next time."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    return folder


def build(kind, source, out):
    """The wheel or sdist of a source, which needs no network: the backend of this environment makes it."""
    out.mkdir(parents=True, exist_ok=True)
    code = f"import setuptools.build_meta as made; print(made.build_{kind}({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out / done.stdout.strip().splitlines()[-1]


def names_in(file):
    """Every file of a wheel or an sdist."""
    if file.suffix == ".whl":
        return set(zipfile.ZipFile(file).namelist())
    with tarfile.open(file) as packed:
        return set(packed.getnames())
