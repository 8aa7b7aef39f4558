"""The images: what they copy is there and is all that the package wants, what they run is known, and nothing
is pinned but in constraints.txt. Where a Docker daemon answers, the small one is built and run.
"""

import fnmatch
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from eva_lightning.cli import main

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent
IMAGES = sorted((ROOT / "docker").glob("*.Dockerfile"))
PAGE = (ROOT / "docs" / "containers.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
each_image = pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name.partition(".")[0])


def steps(image):
    """The instructions of a Dockerfile with what each is told, lines that go on joined."""
    text = re.sub(r"\\\n\s*", "", image.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def made_in(image):
    """The words of every `make` of an image."""
    runs = [words for name, words in steps(image) if name == "RUN"]
    return [
        shlex.split(part)[1:] for run in runs for part in run.split("&&") if part.strip().startswith("make ")
    ]


@pytest.fixture
def copied(tmp_path):
    """The folder that an image has after its copies."""

    def copying(image):
        for name, words in steps(image):
            if name != "COPY":
                continue
            *sources, target = words.split()
            for source in sources:
                place = tmp_path / target if len(sources) == 1 else tmp_path / target / source
                place.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, place)
        return tmp_path

    return copying


def dry(folder, *words):
    """What `make` would do in a folder."""
    quiet = ["make", "-n", "--no-print-directory", *words]  # the tests may be run by make themselves
    done = subprocess.run(quiet, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@each_image
def test_what_is_copied_is_there_and_not_ignored(image):
    assert IGNORED[1] == "*"
    for name, words in steps(image):
        for source in words.split()[:-1] if name == "COPY" else ():
            assert (ROOT / source).exists(), source
            assert f"!{source}" in IGNORED, source


@each_image
def test_the_copies_are_all_that_the_package_is_made_of(image, copied):
    folder, built = copied(image), PROJECT["tool"]["setuptools"]
    for package in built["packages"]:
        place = built["package-dir"].get(package, package.replace(".", "/"))
        assert (folder / place / "__init__.py").is_file(), package
    for file in (PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]):
        assert (folder / file).is_file(), file
    for package, patterns in built["package-data"].items():
        place = folder / built["package-dir"].get(package, package.replace(".", "/"))
        files = [str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()]
        for pattern in patterns:
            assert fnmatch.filter(files, pattern.replace("**/", "*")), f"{package}: {pattern}"


@each_image
def test_what_is_made_is_installed_by_the_pins(image, copied):
    folder = copied(image)
    ready, *others = made_in(image)
    (extras,) = [word.removeprefix("EXTRAS=") for word in ready if word.startswith("EXTRAS=")]
    assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])
    assert f'pip install -q -c constraints.txt -e ".[{extras}]"' in dry(folder, *ready)
    (folder / ".venv").mkdir()
    (folder / ".venv" / ".ready").touch()
    for words in others:
        assert "pip install -q -c constraints.txt" in dry(folder, *words)
    assert "==" not in image.read_text(), "pins stand in constraints.txt"
    (base,) = [words for name, words in steps(image) if name == "FROM"]
    assert re.search(r":.*\d", base) and "latest" not in base


def test_the_small_image_runs_the_demo_and_makes_nothing_more(copied):
    image = ROOT / "docker" / "cpu.Dockerfile"
    folder = copied(image)
    (folder / ".venv").mkdir()
    (folder / ".venv" / ".ready").touch()
    assert steps(image)[-1] == ("CMD", '["make", "demo"]')
    assert dry(folder, "demo").split() == [".venv/bin/eva", "demo"]


def test_with_vllm_in_the_image_make_installs_no_other(copied):
    folder = copied(ROOT / "docker" / "gpu.Dockerfile")
    (folder / ".venv").mkdir()
    for name in (".ready", ".vllm"):
        (folder / ".venv" / name).touch()
    assert "pip" not in dry(folder, "demo", "ENGINE=vllm")


LINES = [line for text in (PAGE, *(image.read_text() for image in IMAGES)) for line in text.splitlines()]
SAID = sorted({found[1].strip() for line in LINES if (found := re.search(r"eva:\wpu (eva [^#]*)", line))})


@pytest.mark.parametrize("said", SAID)
def test_what_the_images_are_asked_to_run_is_understood(said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([*shlex.split(said)[1:], "--print_config"])
    assert end.value.code in (0, None), capsys.readouterr().err


def test_every_image_of_the_page_is_one_of_ours():
    assert {f"docker/{image.name}" for image in IMAGES} == set(re.findall(r"docker/\w+\.Dockerfile", PAGE))
    assert len(SAID) == 4


def test_the_small_image_is_built_and_says_who_it_is():
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker daemon answers here: the image is not built")
    build = ["docker", "build", "-q", "-f", "docker/cpu.Dockerfile", "-t", "eva-test:cpu", "."]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=1800)
    words = ["docker", "run", "--rm", "eva-test:cpu"]
    said = subprocess.run([*words, "eva", "--version"], check=True, capture_output=True, text=True).stdout
    assert said.startswith("eva ")
    assert subprocess.run([*words, "make", "-n", "demo"], check=True, capture_output=True).returncode == 0
