"""Configs by their bare name: `grpo.yaml` is also looked for in configs/.

What a config says is read elsewhere; no Lightning here, because plain commands have configs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from eva_lightning.commands.nearest import nearest_config
from eva_lightning.faults import UsageError

CONFIGS = Path(str(files("eva_lightning.configs")))


def found(words: Sequence[str]) -> list[str]:
    """The words of a command with the names of shipped configs made paths; UsageError if there is none.

    >>> found(["--config", "grpo.yaml"])[1] == str(CONFIGS / "grpo.yaml"), found(["--config", "{}"])
    (True, ['--config', '{}'])
    >>> found([])
    []
    """
    whole: list[str] = []
    for word, before in zip(words, ["", *words], strict=False):
        name = word.removeprefix("--config=")
        named = before == "--config" or word != name
        if named and not Path(name).exists() and (CONFIGS / name).exists():
            word = word.removesuffix(name) + str(CONFIGS / name)
        elif named and name.endswith((".yaml", ".yml")) and not Path(name).exists():
            alike = nearest_config(name, CONFIGS)
            hint = (
                f"did you mean {alike}?" if alike else "give the path of a file, or the name of a shipped one"
            )
            raise UsageError(f"{name}: there is no such config; {hint}")
        whole.append(word)
    return whole
