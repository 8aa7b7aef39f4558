"""What a release is made of says one thing: version, date, licence; hooks do what `make check` does."""

import re
import subprocess
import sys
import tarfile
import tomllib
from email.parser import BytesParser
from importlib.util import find_spec

import pytest
import yaml
from packaging.metadata import Metadata
from packaging.requirements import Requirement

from eva_lightning import __version__
from tests.packing import ROOT, build, copy_of_the_source, names_in


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    return build("wheel", copy_of_the_source(folder / "source"), folder / "dist")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    return build("sdist", copy_of_the_source(folder / "source"), folder / "dist")


def test_the_change_log_the_package_and_the_citation_name_one_version_and_day():
    log = (ROOT / "CHANGELOG.md").read_text()
    headed = re.search(r"^## (\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)$", log, re.MULTILINE)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert headed and headed.groups() == (__version__, cited["date-released"])
    assert cited["version"] == __version__ and cited["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    for one in cited["references"]:
        assert {"type", "title", "authors"} <= set(one)
        assert all(set(author) in ({"name"}, {"given-names", "family-names"}) for author in one["authors"])


def test_an_sdist_holds_source_tests_and_docs_and_nothing_that_was_made(sdist):
    held = {name.partition("/")[2] for name in names_in(sdist)}
    assert sdist.name == f"eva_lightning-{__version__}.tar.gz" and sdist.stat().st_size < 3e6
    wanted = "README.md CHANGELOG.md LICENSE CITATION.cff Makefile constraints.txt mkdocs.yml pyproject.toml"
    assert set(wanted.split()) <= held
    wanted = "docs/view.png tests/conftest.py bench/frames.py configs/grpo.yaml modules/grpo.py .ci/run"
    assert set(wanted.split()) <= held
    assert not {name for name in held if re.search(r"\.pyc$|(^|/)(\.venv|site|runs|build)(/|$)", name)}


def test_a_wheel_made_of_the_sdist_is_that_of_the_source(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    again = build("wheel", source, tmp_path / "again")
    assert names_in(again) == names_in(wheel)


def test_what_an_index_checks_before_it_takes_a_file_is_in_order(sdist):
    """Names, versions, licence, requirements, by the rules of the standard."""
    with tarfile.open(sdist) as packed:
        text = packed.extractfile(f"eva_lightning-{__version__}/PKG-INFO").read()
    metadata = Metadata.from_email(text, validate=True)
    assert metadata.description_content_type == "text/markdown" and len(metadata.description) > 5000
    assert (metadata.name, str(metadata.version)) == ("eva-lightning", __version__)
    assert metadata.license_expression == "Apache-2.0" and metadata.license_files == ["LICENSE"]
    assert {"docs", "release", "dev", "vllm"} <= set(metadata.provides_extra)
    assert not [one for one in metadata.requires_dist if one.url]
    assert "\n" not in BytesParser().parsebytes(text)["Summary"]


@pytest.mark.skipif(not find_spec("twine"), reason="needs twine: pip install 'eva-lightning[release]'")
def test_twine_finds_nothing_wrong(sdist, wheel):
    words = [sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("PASSED") == 2, done.stdout


def test_extras_that_name_a_version_name_that_of_the_constraints():
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in ("dev", "docs", "release"):
        for one in map(Requirement, extras[extra]):
            pinned = re.fullmatch(r"==(\S+)", str(one.specifier))
            assert pinned is None or pins[one.name.lower()] == pinned[1], one


def test_the_files_of_pins_agree():
    pins = {}
    for file in (ROOT / "constraints.txt", *sorted(ROOT.glob("requirements-*.txt"))):
        for package, version in re.findall(r"^([\w.-]+)==([\w.]+)", file.read_text(), re.MULTILINE):
            name = package.lower().replace("_", "-")
            assert pins.setdefault(name, version) == version, f"{file.name}: {package}"


@pytest.mark.parametrize("name", ["bug", "idea"])
def test_a_form_can_be_filled_in(name):
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert form["name"] and form["description"]
    fields = form["body"]
    assert len({one["id"] for one in fields}) == len(fields) > 1
    for one in fields:
        assert one["type"] in ("textarea", "input", "dropdown", "checkboxes") and one["attributes"]["label"]
    assert any(one.get("validations", {}).get("required") for one in fields)


def test_hooks_do_what_make_check_does():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]]
    recipe = re.search(r"^check:.*\n\t@(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert hooks == [one.strip().removeprefix("$(BIN)/") for one in recipe.split("&&")]
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in local["hooks"])
