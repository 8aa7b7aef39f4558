"""The arguments of a command: it is a typed function whose docstring is its manual.

jsonargparse does the work.

What is added here: switches may be given without a value (`--json`), and so may a group of options that is
absent by default, which then has its usual values (`--coach`); help text comes from attribute docstrings
too, and `--config` finds shipped configs by their bare name. And what every command refuses that reads files
and writes one, or takes counts.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args

from jsonargparse import auto_cli, set_parsing_settings

from eva_lightning.agent.config import AgentConfig
from eva_lightning.commands.extensions import LIGHT, name_extensions
from eva_lightning.commands.named_configs import found
from eva_lightning.commands.refusals import TerseParser
from eva_lightning.faults import UsageError


def run_command(
    function: Callable[..., Any], words: Sequence[str], prog: str, *, positional: bool = False
) -> Any:
    """Parse `words` against the signature of `function` and call it; what it returns.

    With `positional`, what has no default is given by place, not by name.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    if AgentConfig in _kinds(function):
        name_extensions(LIGHT)
    return auto_cli(
        function,
        args=_spell_out(found(words), _short_words(function)),
        prog=prog,
        description=_summary(function),
        as_positional=positional,
        parser_class=TerseParser,
    )


def _summary(function: Callable[..., Any]) -> str:
    """The first paragraph of the manual; jsonargparse would take its first line."""
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())


def _kinds(function: Callable[..., Any]) -> list[object]:
    """What the arguments are."""
    return [one.annotation for one in inspect.signature(function, eval_str=True).parameters.values()]


def _short_words(function: Callable[..., Any]) -> dict[str, str]:
    """The options that may stand without a value, and the value that they then have."""
    short: dict[str, str] = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        kinds = get_args(parameter.annotation)
        if isinstance(parameter.default, bool):
            short[f"--{name}"] = "true"
        elif is_dataclass(parameter.default):
            inner = vars(parameter.default).items()
            short |= {f"--{name}.{field}": "true" for field, value in inner if isinstance(value, bool)}
        elif parameter.default is None and any(map(is_dataclass, kinds)):
            short[f"--{name}"] = "{}"
    return short


def _spell_out(words: Sequence[str], short: Mapping[str, str]) -> list[str]:
    """`--json` becomes `--json=true`, and `--coach` becomes `--coach={}`, unless a value follows."""
    following = [*words, "--"][1:]
    return [
        f"{word}={short[word]}" if word in short and _no_value(short[word], after) else word
        for word, after in zip(words, following, strict=False)
    ]


def _no_value(usual: str, after: str) -> bool:
    """Whether the word after an option is none of its values."""
    return after not in ("true", "false") if usual == "true" else after.startswith("--")


def several(given: str | list[str]) -> list[str]:
    """The files of an option that takes one or a list; none may count twice."""
    files = [given] if isinstance(given, str) else list(given)
    places = [os.path.realpath(os.path.expanduser(file)) for file in files]
    twice = [file for number, file in enumerate(files) if places[number] in places[:number]]
    if twice or not files:
        raise UsageError(f"{twice[0]}: is named twice; once is enough" if twice else "name one file or more")
    return files


def want_one_or_more(**counts: int | None) -> None:
    """UsageError if one of these options is less than 1; None stands for no limit."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise UsageError(f"{name} is {count}: want 1 or more")


def want_zero_or_more(**values: float) -> None:
    """UsageError if one of these options is negative."""
    for name, value in values.items():
        if value < 0:
            raise UsageError(f"{name} is {value:g}: want 0 or more")


def refuse_to_overwrite(out: str | Path, *files: str) -> None:
    """UsageError if a command would write over a file that it reads."""
    place = os.path.realpath(out)
    for file in files:
        if os.path.realpath(os.path.expanduser(file)) == place:
            raise UsageError(f"--out {out} would take the place of what is read; name another file")
