"""The source as a reader meets it: modules, classes, their fields and what is said of each.

It is read and never imported, so that the site needs none of what it tells about.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"eva_lightning": "eva_lightning"} | {
    name: f"eva_lightning.{name}" for name in ("modules", "datamodules", "callbacks")
}
"""Folders of the source, and the name under which each is imported."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a record, or an argument of a constructor or command: what may be set in a config."""

    name: str
    kind: str
    default: str
    """As it is written; empty where it must be given."""
    said: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A public class or function."""

    name: str
    bases: tuple[str, ...] = ()
    said: str = ""
    fields: tuple[Field, ...] = ()
    methods: tuple[tuple[str, str], ...] = ()
    """Public methods and properties, and the first sentence of each."""


@dataclass(frozen=True, kw_only=True)
class Module:
    """A file of the source."""

    path: Path
    name: str
    """As it is imported."""
    said: str
    entries: tuple[Entry, ...] = ()

    @property
    def room(self) -> str:
        """The part of the house it is in; files that stand alone are the ground."""
        parts = self.name.split(".")
        return (
            parts[1] if len(parts) > 2 or (self.path.name == "__init__.py" and len(parts) > 1) else "ground"
        )


@cache
def modules() -> tuple[Module, ...]:
    """Every file of the source, in the order of their names; they are read once."""
    return tuple(_modules())


def _modules() -> Iterator[Module]:
    for folder, package in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            tree = ast.parse(path.read_text(encoding="utf-8"))
            entries = tuple(entry for node in tree.body if (entry := _entry(node)) is not None)
            yield Module(path=path, name=name, said=ast.get_docstring(tree) or "", entries=entries)


def _entry(node: ast.stmt) -> Entry | None:
    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
        return _class(node)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
        plain, told = _arguments_told(ast.get_docstring(node) or "")
        return Entry(name=node.name, said=plain, fields=tuple(_parameters(node, told)))
    return None


def _class(node: ast.ClassDef) -> Entry:
    fields = list(_attributes(node.body))
    plain, told = _arguments_told(ast.get_docstring(node) or "")
    methods = []
    for one in node.body:
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        said = ast.get_docstring(one) or ""
        if one.name == "__init__":
            more, of_init = _arguments_told(said)
            plain = "\n\n".join(part for part in (plain, more) if part)
            fields += _parameters(one, told | of_init)
        elif not one.name.startswith("_") and said:
            methods.append((one.name, said.split("\n\n")[0]))
    bases = tuple(ast.unparse(base) for base in node.bases)
    return Entry(name=node.name, bases=bases, said=plain, fields=tuple(fields), methods=tuple(methods))


def _attributes(body: list[ast.stmt]) -> Iterator[Field]:
    """Annotated names with the text below each."""
    for node, below in zip(body, [*body[1:], None], strict=False):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        text = (
            below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
        )
        if not node.target.id.startswith("_"):
            default = "" if node.value is None else _shortened(ast.unparse(node.value))
            yield Field(
                name=node.target.id,
                kind=ast.unparse(node.annotation),
                default=default,
                said=" ".join(str(text).split()),
            )


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef, told: dict[str, str]) -> Iterator[Field]:
    given = node.args
    places = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(places) - len(given.defaults)) + list(given.defaults)
    for argument, default in zip([*places, *given.kwonlyargs], [*defaults, *given.kw_defaults], strict=True):
        if argument.arg in told or (argument.annotation is not None and argument.arg != "self" and told):
            yield Field(
                name=argument.arg,
                kind="" if argument.annotation is None else ast.unparse(argument.annotation),
                default="" if default is None else _shortened(ast.unparse(default)),
                said=told.get(argument.arg, ""),
            )


def _arguments_told(said: str) -> tuple[str, dict[str, str]]:
    """A docstring without its `Args:`, and what that says of each argument."""
    plain, found, listed = said.partition("Args:\n")
    if not found:
        return said.strip(), {}
    told: dict[str, str] = {}
    name = ""
    margin = min((len(line) - len(line.lstrip()) for line in listed.splitlines() if line.strip()), default=0)
    for line in listed.splitlines():
        begun = re.match(rf"^ {{{margin}}}(\*{{0,2}}\w+): ?(.*)$", line)
        if begun:
            name = begun[1]
            told[name] = begun[2]
        elif name and line.strip():
            told[name] += f" {line.strip()}"
    return plain.strip(), told


def _shortened(text: str, longest: int = 80) -> str:
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."
