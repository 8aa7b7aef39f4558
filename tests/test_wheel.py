"""The wheel: whoever installs it has everything, configs too, and nothing at the top but `eva_lightning`."""

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec

import pytest

import eva_lightning
from tests.packing import ROOT, build, copy_of_the_source


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    return build("wheel", copy_of_the_source(folder / "source"), folder)


@pytest.fixture(scope="module")
def eva(wheel, tmp_path_factory):
    """`eva` in a clean environment that has the wheel and its dependencies, but no source."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next((folder / "lib").glob("python3*/site-packages"))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    # The dependencies of this environment, behind the wheel; .pth files there (our own source) are not read.
    lines = [path for path in sys.path if "site-packages" in path]
    if find_spec("torchvision_shim"):  # `make vllm` loads it by a .pth file, too, where there is no GPU
        lines.append("import torchvision_shim")
    (site / "dependencies.pth").write_text("\n".join(lines))
    empty = folder / "empty"
    empty.mkdir()
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*words):
        return subprocess.run(
            [folder / "bin/python", "-m", "eva_lightning", *words],
            cwd=empty,
            env=clean,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    run.folder = empty
    return run


def test_every_folder_of_the_source_is_named_in_pyproject():
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {file.parent.relative_to(ROOT) for file in (ROOT / "eva_lightning").rglob("__init__.py")}
    there = {".".join(folder.parts) for folder in folders} | set(named["package-dir"])
    assert set(named["packages"]) == there


def test_at_the_top_of_a_wheel_is_one_name_and_all_files_are_in_it(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in held} == {"eva_lightning"}
    families = ("modules", "datamodules", "callbacks", "configs")
    for family in families:
        for file in (ROOT / family).rglob("*.*"):
            if file.suffix in (".py", ".yaml"):
                assert f"eva_lightning/{file.relative_to(ROOT)}" in held
    for file in (ROOT / "eva_lightning").rglob("*.*"):
        if file.suffix in (".py", ".html", ".css", ".js", ".typed"):
            assert str(file.relative_to(ROOT)) in held


def test_the_wheel_s_metadata_are_those_of_the_package(wheel):
    packed = zipfile.ZipFile(wheel)
    (name,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = packed.read(name).decode()
    assert f"\nVersion: {eva_lightning.__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata and "# eva_lightning" in metadata


def test_without_the_source_eva_finds_its_configs_in_an_empty_folder(eva):
    printed = eva("fit", "--config", "grpo.yaml", "--print_config")
    assert "class_path: eva_lightning.modules.GRPOModule" in printed
    assert "commands:" in eva("--help")


def test_without_the_source_eva_is_of_the_version_of_the_wheel(eva, wheel):
    assert wheel.name == f"eva_lightning-{eva_lightning.__version__}-py3-none-any.whl"
    assert eva("--version") == f"eva {eva_lightning.__version__}\n"


def test_without_the_source_eva_makes_a_world_in_an_empty_folder(eva):
    eva("synthesize", "world", "--out", "world", "--videos", "2", "--held_out", "1")
    assert len(list((eva.folder / "world" / "clips").glob("*.mp4"))) == 2
