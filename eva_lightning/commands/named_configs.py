"""Configs by their bare name: `grpo.yaml` is also looked for in configs/.

What a config says is read elsewhere; no Lightning here, because plain commands have configs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

CONFIGS = Path(str(files("eva_lightning.configs")))


def found(words: Sequence[str]) -> list[str]:
    """The words of a command with the names of shipped configs made paths.

    >>> found(["--config", "grpo.yaml"])[1] == str(CONFIGS / "grpo.yaml"), found(["--config=no.yaml"])
    (True, ['--config=no.yaml'])
    >>> found([])
    []
    """
    whole: list[str] = []
    for word, before in zip(words, ["", *words], strict=False):
        name = word.removeprefix("--config=")
        named = before == "--config" or word != name
        if named and not Path(name).exists() and (CONFIGS / name).exists():
            word = word.removesuffix(name) + str(CONFIGS / name)
        whole.append(word)
    return whole
