"""The name that was probably meant, where an option, a class or a config was mistyped.

It only adds words to a refusal: nothing is taken for something else.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from jsonargparse import ArgumentParser

ALIKE = 0.75
"""How much of two names must agree, from 0 to 1."""
DEEP = 3
"""Records inside of records whose fields are known."""


def hint(message: str, parser: ArgumentParser) -> str:
    """What to add to the line that refuses a name: "; did you mean path?", or nothing.

    >>> hint("there is no option --seeds 3", _parser_of_seed())
    '; did you mean seed?'
    """
    wrong = re.search(r"there is no option -{0,2}([\w.]+)", message)
    if wrong is not None:
        known = {*_words_of(parser), *(name for cls in _named_in(message) for name in _fields(cls, DEEP))}
        parts = [part for part in wrong[1].split(".") if part not in known]
        return _asked(closest(parts[0], known)) if parts else ""
    wrong = re.search(r"there is no class ([\w.]+)", message)
    return _asked(closest(wrong[1].rpartition(".")[2], _classes())) if wrong else ""


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one; several if they are equally alike, None if none is.

    >>> closest("limts", ["limits", "tools"]), closest("epochs", ["min_epochs", "max_epochs"])
    ('limits', 'max_epochs or min_epochs')
    >>> closest("rate", ["lr"])
    """
    found = difflib.get_close_matches(name, sorted(known), 3, ALIKE)
    best = [one for one in found if _alike(name, one) == _alike(name, found[0])]
    return " or ".join(sorted(best)) or None


def _alike(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, name).ratio()


def nearest_config(name: str, folder: Path) -> str | None:
    """The shipped config that is named most alike."""
    return closest(name, [path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml")])


def _asked(found: str | None) -> str:
    return f"; did you mean {found}?" if found else ""


def _words_of(parser: ArgumentParser) -> Iterator[str]:
    """Every word of every option of a parser, and of those of its subcommands."""
    for action in parser._actions:
        yield from action.dest.split(".")
        yield from (name.lstrip("-") for name in action.option_strings if "." not in name)
        if isinstance(action.choices, dict):  # parsers of subcommands
            for one in action.choices.values():
                yield from _words_of(one)


def _classes() -> dict[str, type]:
    """The classes of the project that were read, and whatever stands beside them in their files."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "eva_lightning"]
    return {
        name: one
        for module in modules
        for name, one in vars(module).items()
        if isinstance(one, type) and not name.startswith("_")
    }


def _named_in(message: str) -> list[type]:
    known = _classes()
    return [known[name] for name in re.findall(r"\b[A-Z]\w+", message) if name in known]


def _fields(cls: type, deep: int) -> Iterator[str]:
    """The arguments of a class, and those of the records among them."""
    try:
        hints = get_type_hints(cls.__init__)  # type: ignore[misc]
    except (NameError, TypeError):  # some names are there for the type checker alone
        hints = {}
    try:
        taken = inspect.signature(cls).parameters
    except ValueError:  # some of those that C wrote, and every exception
        return
    for name in taken:
        yield name
        for kind in _kinds(hints.get(name)):
            if deep and is_dataclass(kind):
                yield from _fields(kind, deep - 1)


def _kinds(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for inner in get_args(annotation):
        yield from _kinds(inner)


def _parser_of_seed() -> ArgumentParser:
    parser = ArgumentParser()
    parser.add_argument("--seed")
    return parser
