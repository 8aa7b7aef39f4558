"""The rules of the house, kept by walking the source: who may import whom, hidden ideas, length."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAMILIES = ("modules", "datamodules", "callbacks")
CORE = sorted((ROOT / "eva_lightning").rglob("*.py"))
ORDER = """
records faults timecode device < files video objectives scoring < policy ranks < engines < agent < rewards
< data < reports < commands < cli < __main__
"""
"""What stands further left knows nothing of what stands further right; neighbours do not know each other."""
FLOOR = {part: number for number, parts in enumerate(ORDER.split("<")) for part in parts.split()}


def imports(path):
    """Every module that a file imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            bare = node.module == "eva_lightning"  # its names are modules, but for __version__
            yield from (f"{node.module}.{alias.name}" for alias in node.names) if bare else (node.module,)


def part(path):
    """The room of the core that a file is in; the package itself counts as ground."""
    return path.relative_to(ROOT / "eva_lightning").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_knows_nothing_of_lightning(path):
    if path.name in ("stages.py",):
        return
    above = {"lightning", "pytorch_lightning", *(f"eva_lightning.{family}" for family in FAMILIES)}
    assert not {name for name in imports(path) if any(f"{name}.".startswith(f"{one}.") for one in above)}


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_rests_on_the_floors_below_it(path):
    here = part(path)
    for name in imports(path):
        there = name.split(".")[1] if name.startswith("eva_lightning.") else here
        if there in (*FAMILIES, "__version__"):
            continue  # the test above says who may
        assert there == here or FLOOR[there] < FLOOR[here], f"{here} may not know {there}"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_families_above_keep_to_themselves(family):
    never = {
        "modules": {"datamodules", "callbacks"},
        "datamodules": {"modules", "callbacks"},
        "callbacks": {"datamodules"},
    }
    for path in (ROOT / family).rglob("*.py"):
        assert not {name.split(".")[1] for name in imports(path) if "." in name} & never[family], path


def test_records_need_no_torch():
    plain = ("records", "files/encoding", "files/store", "timecode", "faults", "scoring/*")
    for path in (one for name in plain for one in (ROOT / "eva_lightning").glob(f"{name}.py")):
        used = {module.split(".")[0] for module in imports(path)}
        assert not used & {"torch", "numpy", "transformers", "av"}, path


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_idea_and_says_so(path):
    assert path.stem not in {"utils", "helpers", "common", "misc", "types"}
    text = path.read_text()
    assert not text or ast.get_docstring(ast.parse(text)), "open with what the file is and what it is not"
    assert len(text.splitlines()) <= (500 if path.name == "records.py" else 400)  # records: the dictionary


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_agent_s_room_and_its_teacher_s_know_eva_s_spelling_and_tool(path):
    inside = path.relative_to(ROOT / "eva_lightning").parts
    if inside[0] != "agent" and inside[:2] != ("data", "teaching"):
        assert not re.search(r"EvaDialect|FrameSelect|frame_select", path.read_text())


def circles(graph):
    """The first circle that a walk along the imports meets, if any."""
    done, way = set(), []

    def walk(file):
        if file in way:
            return [*way[way.index(file) :], file]
        if file in done:
            return None
        done.add(file)
        way.append(file)
        found = next(filter(None, map(walk, sorted(graph[file]))), None)
        way.pop()
        return found

    return next(filter(None, map(walk, sorted(graph))), None)


def test_no_file_knows_itself_by_way_of_others():
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in CORE}
    assert circles({name: set(imports(path)) & set(names) for name, path in names.items()}) is None
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_the_street_is_short():
    entries = [path.name for path in (ROOT / "eva_lightning").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 20, entries


@pytest.mark.parametrize("folder", sorted({path.parent for path in CORE}) + [ROOT / one for one in FAMILIES])
def test_a_folder_introduces_itself(folder):
    told = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    first, _, rest = told.partition("\n\n")
    assert first.endswith(".") and "\n" not in first, "the first line is a whole sentence"
    assert len(rest.splitlines()) >= 2, "say what it may use, and how to add one"


def broken_first_lines(text):
    """Where a docstring begins with a line that is no whole sentence, or has no empty line below it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first, _, rest = (ast.get_docstring(node) or "Args:").partition("\n")
            whole = first.endswith((".", "?", "!")) and not rest.partition("\n")[0]
            if not whole and first != "Args:":  # a constructor's manual has no sentence of its own
                yield f"{getattr(node, 'name', 'the file')}: {first}"


def test_the_first_line_of_a_docstring_is_a_whole_sentence():
    above = [path for family in (*FAMILIES, "bench") for path in sorted((ROOT / family).rglob("*.py"))]
    for path in (*CORE, *above):
        assert not list(broken_first_lines(path.read_text())), path
    assert list(broken_first_lines('"""One. Two\ngoes on.\n"""')) == ["the file: One. Two"]
    assert list(broken_first_lines('"""One.\nTwo.\n"""')) == ["the file: One."]


def test_no_exception_is_swallowed():
    for path in CORE:
        assert not re.search(r"except( Exception| BaseException)?:\s*(pass|\.\.\.)", path.read_text()), path


def test_the_readme_has_a_line_for_every_folder():
    readme = (ROOT / "README.md").read_text()
    folders = [path for path in (ROOT / "eva_lightning").rglob("*") if path.is_dir()]
    folders += [ROOT / name for name in "modules datamodules callbacks configs bench tests".split()]
    for folder in folders:
        if folder.name != "__pycache__":
            depth = len(folder.relative_to(ROOT).parts) - 1
            assert re.search(rf"^{'  ' * depth}{folder.name}/ ", readme, re.MULTILINE), folder
