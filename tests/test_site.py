"""The documentation as a site: links lead somewhere, the strict build has no warning, all is told."""

import ast
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

from eva_lightning.cli import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")]
PAGES += sorted((ROOT / "docs").glob("*.md"))


def prose(path):
    return re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """The places of a page, as a forge names them."""
    heads = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken_links(path):
    """Links of a page that lead nowhere in the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        address, _, place = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (path.parent / address).resolve() if address else path
        if not file.exists() or (place and place not in anchors(file)):
            yield target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    assert list(broken_links(path)) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "b.md").write_text("# One head, or two\n")
    (tmp_path / "a.md").write_text(
        "[x](b.md) [x](b.md#one-head-or-two) [x](b.md#gone) [x](c.md) [x](https://example.org)\n"
        "```\n[x](d.md)\n```\n"
    )
    assert list(broken_links(tmp_path / "a.md")) == ["b.md#gone", "c.md"]


class Reader(HTMLParser):
    """What a page says and names."""

    def __init__(self):
        super().__init__()
        self.ids, self.foreign, self.words = set(), [], []
        self.code = False

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.code = self.code or tag == "pre"
        self.ids.add(named.get("id"))
        address = named.get("src") or (named.get("href") if tag == "link" else None) or ""
        if address.startswith("http"):
            self.foreign.append(address)

    def handle_endtag(self, tag):
        self.code = self.code and tag != "pre"

    def handle_data(self, data):
        if not self.code:
            self.words.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages, by name, of a strict build."""
    if not (find_spec("mkdocs") and find_spec("material")):
        pytest.skip("needs mkdocs-material: pip install 'eva-lightning[docs]'")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and not re.search(r"WARNING|ERROR|Traceback", said), said
    read = {}
    for file in folder.rglob("*.html"):
        reader = read[file.relative_to(folder).as_posix()] = Reader()
        reader.feed(file.read_text())
    return read


def test_make_builds_it_as_strictly():
    recipe = re.search(r"^docs:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert "mkdocs build --strict" in recipe
    assert "quiet" not in recipe and "-q" not in recipe  # a quiet mkdocs counts no warning, so none ends it


def test_every_page_is_there_and_asks_nobody_else_for_anything(site):
    assert {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")} <= set(site)
    assert {"index.html", "contributing.html", "security.html", "changelog.html"} <= set(site)
    assert [address for page in site.values() for address in page.foreign] == []


def test_the_reference_tells_of_every_command_config_class_and_field(site):
    told = site["reference/commands.html"]
    assert {f"eva-{name}" for name in COMMANDS if name != "synthesize"} <= told.ids
    assert {"eva-synthesize-world", "eva-synthesize-scripts", "eva-fit"} <= told.ids
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert {name.replace("/", "-") for name in configs} <= site["reference/configs.html"].ids
    agent = site["reference/agent.html"]
    assert "eva_lightning.agent.config.AgentConfig" in agent.ids
    assert "Of its words; 0 takes the likeliest token." in "".join(agent.words)
    known = set().union(*(page.ids for name, page in site.items() if name.startswith("reference/")))
    for family in ("eva_lightning", "modules", "datamodules", "callbacks"):
        for path in (ROOT / family).rglob("*.py"):
            inside = path.relative_to(ROOT).with_suffix("").parts
            if inside[:2] in (
                ("eva_lightning", "commands"),
                ("eva_lightning", "cli"),
                ("eva_lightning", "__main__"),
            ):
                continue
            package = () if family == "eva_lightning" else ("eva_lightning",)
            name = ".".join([*package, *(part for part in inside if part != "__init__")])
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    assert f"{name}.{node.name}" in known


def test_what_is_a_list_or_code_on_a_page_is_one_on_the_site(site):
    for name, page in site.items():
        words = "".join(page.words)
        assert not re.search(r"^ {0,3}[*-] \w", words, re.MULTILINE) and "```" not in words, name
