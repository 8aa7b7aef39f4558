"""The rules of the house, kept by walking the source: who may import whom, hidden ideas, length."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "eva_lightning").rglob("*.py"))
FLOORS = {  # a part may import the parts below it; parts not named here are free
    "records": set(),
    "faults": set(),
    "timecode": set(),
    "encoding": set(),
    "card": set(),
    "store": {"encoding", "faults", "records"},
    "scoring": {"records", "timecode"},
    "video": {"records", "faults", "card"},
    "worlds": {"records", "faults", "video"},
    "tools": {"records", "faults", "timecode", "video", "worlds"},
    "dialects": {"records", "timecode", "tools", "video", "worlds"},
    "policy": {"records", "faults", "video"},
    "engines": {"records", "faults", "card", "video", "policy"},
    "asking": {"records", "faults", "video", "engines"},
    "judging": {"records", "faults", "store", "scoring", "video", "worlds", "engines", "asking"},
    "objectives": {"records"},
    "diagnosis": {"records", "faults", "video", "policy", "engines"},
    "rewards": {
        *("records", "faults", "scoring", "video", "worlds", "dialects", "engines", "asking", "judging"),
    },
    "intake": {"records", "faults", "timecode", "encoding"},
    "exchange": {"records", "faults", "encoding", "store", "video", "worlds", "dialects"},
    "mining": {
        *("records", "faults", "store", "scoring", "video", "worlds", "dialects", "engines", "rollout"),
        *("asking", "synthesis"),
    },
    "teaching": {
        *("records", "faults", "store", "scoring", "video", "worlds", "tools", "dialects", "engines"),
        *("rollout", "settings_file"),
    },
    "viewer": {"records", "faults", "scoring", "timecode", "video", "worlds"},
    "settings_file": {"faults"},
    "sole_writer": {"faults"},
    "rollout": {"records", "faults", "video", "worlds", "tools", "dialects", "engines"},
}


def imports(path):
    """Every module that a file imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def part(path):
    return path.relative_to(ROOT / "eva_lightning").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_knows_nothing_of_lightning(path):
    if path.name in ("stages.py",):
        return
    above = {"lightning", "pytorch_lightning", "modules", "datamodules", "callbacks"}
    assert not {name.split(".")[0] for name in imports(path)} & above


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_floor_rests_on_the_floors_below_it(path):
    here = part(path)
    if here not in FLOORS:
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("eva_lightning.")}
    assert used <= FLOORS[here] | {here}


@pytest.mark.parametrize("family", ["modules", "datamodules", "callbacks"])
def test_the_families_above_keep_to_themselves(family):
    never = {
        "modules": {"datamodules", "callbacks"},
        "datamodules": {"modules", "callbacks"},
        "callbacks": {"datamodules"},
    }
    for path in (ROOT / family).rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & never[family], path


def test_records_need_no_torch():
    for name in ("records", "encoding", "store", "timecode", "faults", "scoring"):
        used = {module.split(".")[0] for module in imports(ROOT / "eva_lightning" / f"{name}.py")}
        assert not used & {"torch", "numpy", "transformers", "av"}, name


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_idea_and_says_so(path):
    assert path.stem not in {"utils", "helpers", "common", "misc", "types"}
    text = path.read_text()
    assert not text or ast.get_docstring(ast.parse(text)), "open with what the file is and what it is not"
    assert len(text.splitlines()) <= 400


def test_no_exception_is_swallowed():
    for path in CORE:
        assert not re.search(r"except( Exception| BaseException)?:\s*(pass|\.\.\.)", path.read_text()), path


def test_the_readme_s_tree_names_every_file():
    readme = (ROOT / "README.md").read_text()
    for folder in ("eva_lightning", "modules", "datamodules", "callbacks"):
        for path in (ROOT / folder).rglob("*.py"):
            known = path.name in readme or (path.parent.name == "commands" and path.stem in readme)
            assert known or path.name in ("__init__.py", "__main__.py"), f"{path} is not in the README's tree"
