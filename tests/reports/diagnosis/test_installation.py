"""What is installed is held against the project's own metadata; what is missing comes with what to do."""

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from eva_lightning.reports.diagnosis import installation
from eva_lightning.reports.diagnosis.installation import check_installation


def rows(**settings):
    return {finding.name: finding for finding in check_installation(**settings)}


def test_here_everything_that_is_needed_fits():
    found = rows()
    assert {
        "python",
        "torch",
        "transformers",
        "lightning",
        "peft",
        "GPU",
        "torchcodec",
        "vllm",
        "threads",
    } <= set(found)
    assert not [finding for finding in found.values() if finding.level == "problem"]


def test_ranges_are_those_of_pyproject():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    written = {one.name: one.specifier for one in map(Requirement, project["dependencies"])}
    known = installation._ranges()
    assert known == written | {"python": SpecifierSet(project["requires-python"])}


def test_a_version_out_of_range_is_a_problem_with_a_command(monkeypatch):
    monkeypatch.setattr(installation, "version", lambda name: "4.57.1")
    found = rows()["transformers"]
    wanted = installation._ranges()["transformers"]
    assert (found.level, found.found) == ("problem", f"4.57.1 (wants {wanted})")
    assert found.advice == f"pip install 'transformers{wanted}'"


def test_a_missing_package_is_a_problem(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "version", missing)
    monkeypatch.setattr(installation, "_torchcodec", lambda: installation._threads())
    assert rows()["peft"].level == "problem" and rows()["peft"].found.startswith("missing")


@pytest.mark.parametrize("version", [None, "0.31.1"])
def test_vllm_is_needed_by_its_engine_only(monkeypatch, version):
    monkeypatch.setattr(installation, "installed", lambda: version)
    assert rows()["vllm"].level == "note"
    assert rows(needs_vllm=True)["vllm"].level == "problem"
    assert "pip install" in rows()["vllm"].advice


def test_two_pools_of_threads_are_noted(monkeypatch):
    monkeypatch.setattr(installation, "installed", lambda: "0.32.0")
    monkeypatch.setattr(installation.torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert rows()["threads"].advice.startswith("export OMP_NUM_THREADS=1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert rows()["threads"].level == "ok"
