"""The pages of the documentation, cut into their fenced blocks and the commands in them."""

import re
from dataclasses import dataclass
from pathlib import Path

from eva_lightning.cli import main

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    page: str
    kind: str
    text: str

    @property
    def commands(self):
        """The lines of a shell: one that goes on is one, comments are left out."""
        lines = self.text.replace("\\\n", " ").splitlines() if self.kind == "bash" else []
        bare = (re.sub(r"\s+#.*$", "", line) for line in lines)
        return [" ".join(line.split()) for line in bare if line.strip() and not line.startswith("#")]


def pages():
    """Every page with fences, by its name in the repository."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return {file.relative_to(ROOT).as_posix(): file.read_text() for file in files}


def blocks(page, kind=None):
    """The fenced blocks of a page, in order."""
    found = [Block(page, *one) for one in FENCE.findall((ROOT / page).read_text())]
    return [one for one in found if kind in (None, one.kind)]


def commands(page):
    """Every command of a page, in order."""
    return [line for block in blocks(page) for line in block.commands]


def lay_out(page, folder):
    """Put the blocks of a page that are files where it says: a config begins with its name as a comment."""
    for block in blocks(page, "yaml"):
        name = re.match(r"# (\w+\.yaml)$", block.text.partition("\n")[0])
        if name:
            (folder / name[1]).write_text(block.text)


def status(words):
    """The status with which `eva` ends; its parser leaves by itself after --print_config."""
    try:
        return main(words)
    except SystemExit as ended:
        return ended.code or 0
