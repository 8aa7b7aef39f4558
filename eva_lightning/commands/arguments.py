"""From words to a call: a command is a typed function whose docstring is its manual. jsonargparse does the
work.

What is added here: switches may be given without a value (`--json`), help text comes from attribute
docstrings too, and `--config` finds shipped configs by their bare name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from jsonargparse import auto_cli, set_parsing_settings

from eva_lightning.named_configs import found
from eva_lightning.refusals import TerseParser


def run_command(
    function: Callable[..., None], words: Sequence[str], prog: str, *, positional: bool = False
) -> None:
    """Parse `words` against the signature of `function` and call it. With `positional`, what has no default
    is given by place, not by name.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    switches = {
        f"--{name}"
        for name, parameter in inspect.signature(function).parameters.items()
        if isinstance(parameter.default, bool)
    }
    auto_cli(
        function,
        args=_spell_out(found(words), switches),
        prog=prog,
        as_positional=positional,
        parser_class=TerseParser,
    )


def _spell_out(words: Sequence[str], switches: set[str]) -> list[str]:
    """`--json` becomes `--json=true`, unless a value follows."""
    following = [*words, ""][1:]
    return [
        f"{word}=true" if word in switches and after not in ("true", "false") else word
        for word, after in zip(words, following, strict=False)
    ]
