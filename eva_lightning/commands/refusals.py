"""Refusals of jsonargparse, of a wrong word or config, in one line: which option, and what is wrong with it.

It tells every type it has tried; a user needs the one that was meant.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import yaml  # type: ignore[import-untyped]
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import Path_fr

from eva_lightning.commands.nearest import hint
from eva_lightning.faults import UsageError

NOISE = re.compile(
    r"Does not validate|Subtypes:|Errors:|Given value|Expected a <class 'NoneType'>|Expected a path but|"
    r"Not a valid subclass|Subclass types expect|a class path \(str\)|a dict with"
)
SAID_SHORTER = (
    (r'Parser key "(.*)":', r"\1:"),
    (r"Problem with given class_path '(?:\w+\.)*(\w+)':", r"\1:"),
    (r"unrecognized arguments: (.*)", r"there is no option \1"),
    (r"Option '(.*)' is not accepted", r"there is no option \1"),
    (r"Group '(\w+)' does not accept option '(.*)'", r"\1: there is no option \2"),
    (r"Subcommand '\w+' does not accept option '(.*)'", r"there is no option \1"),
    (r"Expected a dot import path string: (.*)", r"there is no class \1"),
    (r"<class '(?:\w+\.)*(\w+)'>", r"\1"),
    (r"Expected a typing\.Literal\[(.*?)\]", r"want one of \1"),
    (r"Expected a (\w+)", r"want \1"),
    (r"\. Got value: (.*)", r" (given: \1)"),
    (r"Requirement '(wandb|mlflow)\S*' not met.*", r"\1 is not here: pip install 'eva-lightning[\1]'"),
    (r"No supported gpu backend found!", "there is no GPU here; give --trainer.accelerator cpu"),
)


def in_a_line(message: str) -> str:
    """The useful part of a message.

    >>> in_a_line("Subtypes: [int, None]\\n  Errors:\\n   - Option 'lrr' is not accepted\\n  Given value: x")
    'there is no option lrr (given: x)'
    """
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    useful = dict.fromkeys(_shorter(line) for line in lines if line and not NOISE.match(line))
    given = [line.partition(": ")[2] for line in lines if line.startswith("Given value: ")]
    said = "; ".join(useful).replace(":; ", ": ")
    short = given and len(given[0]) < 40 and not given[0].startswith(("NestedArg", "{", "["))
    return f"{said} (given: {given[0]})" if short and given[0] not in said else said


def _shorter(line: str) -> str:
    for pattern, instead in SAID_SHORTER:
        line = re.sub(pattern, instead, line)
    return line


class TerseParser(ArgumentParser):
    """A parser that says what is wrong in one line; the manual is long, and `--help` shows it."""

    def parse_path(self, path: Any, *args: Any, **options: Any) -> Namespace:
        """A config; what is wrong with the file itself is told with its name."""
        _refuse_no_settings(path)
        read: Namespace = super().parse_path(path, *args, **options)
        return read

    def instantiate(self, *args: Any, **options: Any) -> Namespace:
        """Settings that refuse their values as they are born are wrong words, not a bug."""
        try:
            made: Namespace = super().instantiate(*args, **options)
        except ValueError as problem:
            raise UsageError(in_a_line(str(problem))) from problem
        return made

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # asked by another parser, which goes on
            super().error(message, ex)
        prog = (getattr(ex, "subcommand_parser", None) or self).prog.replace(" [options]", "")
        said = in_a_line(message)
        self.exit(2, f"{prog}: {said}{hint(said, getattr(ex, 'subcommand_parser', None) or self)}\n")


def _refuse_no_settings(path: Any) -> None:
    """UsageError unless a file holds settings, whichever these are."""
    try:
        held = yaml.safe_load(Path_fr(path).read_text())
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        raise UsageError(f"{path}: is no text; give a YAML file of settings") from None
    except yaml.MarkedYAMLError as problem:
        place = f":{problem.problem_mark.line + 1}" if problem.problem_mark else ""
        raise UsageError(f"{path}{place}: not YAML ({problem.problem})") from None
    if not isinstance(held, dict):
        raise UsageError(f"{path}: holds no settings; want lines such as `option: value`")
