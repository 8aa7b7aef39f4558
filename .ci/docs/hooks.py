"""The site's hooks: pages that lie elsewhere or are made from the source, and links that work on both sides.

The pages in docs/ are written to be read where they lie; here their links to the rest of the repository are
turned to where the site tells of it. What it does not tell of stays as words.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from reference import ROOMS, pages, place_of
from source import ROOT

BROUGHT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md",
           "CHANGELOG.md": "changelog.md"}  # fmt: skip
"""Pages at the top of the repository, and their places on the site."""
LINK = re.compile(r"(?<=\])\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the rooms into the list of mkdocs.yml; a page of docs/ that it does not name ends the build."""
    for section in config.nav or []:
        if "Reference" in section:
            section["Reference"] += [{title: f"reference/{room}.md"} for room, title in ROOMS.items()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is brought and what is made."""
    for source, place in BROUGHT.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    for place, text in pages().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Turn links to where the site tells of what they name."""
    here = page.file.src_uri
    lies = next((source for source, place in BROUGHT.items() if place == here), f"docs/{here}")
    if here.startswith("reference/"):
        return markdown
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _turned(part, lies, here) for part in parts)


def _turned(text: str, lies: str, here: str) -> str:
    def target(link: re.Match[str]) -> str:
        address, mark, place = link[1].partition("#")
        if not address or re.match(r"[a-z]+:", address):
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(lies), address))
        found = BROUGHT.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if found is None and (found := place_of(path)) is not None:
            mark = place = ""
        if found is None:
            raise SystemExit(f"{lies}: the site has no place for the link to {path}")
        return f"({os.path.relpath(found, os.path.dirname(here) or '.')}{mark}{place})"

    return LINK.sub(target, text)
