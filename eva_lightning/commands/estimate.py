"""`eva estimate`: what a config of `eva fit` would take, before it is launched.

It reads the config and counts an architecture; it reads no weights, and starts nothing. What is counted, and
how, is in `planning`.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import fields, replace

from jsonargparse import set_parsing_settings

from eva_lightning.commands.refusals import TerseParser
from eva_lightning.commands.stages import whole_config
from eva_lightning.faults import UsageError
from eva_lightning.reports.planning.architectures import SIZES, USUAL, Architecture, architecture_at
from eva_lightning.reports.planning.asked import asked_by
from eva_lightning.reports.planning.sheet import sheet
from eva_lightning.reports.planning.work import Hardware


def main(words: Sequence[str]) -> None:
    mine, theirs = divided(words)
    hardware = _hardware(mine)
    if not theirs:
        raise UsageError("name the config of a stage: eva estimate --config grpo.yaml --gpus 8")
    asked = asked_by(whole_config(theirs))
    if asked.writer == "servers":  # theirs are settings of another command
        asked = replace(asked, vllm=replace(asked.vllm, gpu_memory=hardware.server_share))
    taken: list[str] = []
    architecture = _planned(hardware.architecture or asked.policy.path, hardware.architecture is None, taken)
    judges = [_planned(path, True, taken) for path in asked.judges]
    print(sheet(asked, architecture, hardware, judges, taken))


def _hardware(words: Sequence[str]) -> Hardware:
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = TerseParser(prog="eva estimate", description=inspect.getdoc(Hardware))
    parser.add_class_arguments(Hardware, as_group=False)
    return Hardware(**parser.parse_args(list(words)).as_dict())


def divided(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words of this command, and words of `eva fit`.

    >>> divided(["--gpus", "8", "--config", "a.yaml", "--price=2", "--model.attempts", "4"])
    (['--gpus', '8', '--price=2'], ['--config', 'a.yaml', '--model.attempts', '4'])
    """
    own = {f"--{field.name}" for field in fields(Hardware)} | {"--help", "-h"}
    mine: list[str] = []
    theirs: list[str] = []
    side = theirs
    for word in words:
        if word.startswith("-") and not word[1:2].isdigit():
            side = mine if word.partition("=")[0] in own else theirs
        side.append(word)
    return mine, theirs


def _planned(path: str, may_come: bool, taken: list[str]) -> Architecture:
    """The architecture at a path; what an earlier stage is yet to make is taken for the usual one."""
    found = architecture_at(path)
    if found is None and not may_come:
        raise UsageError(f"--architecture {path}: no such folder; give one, or one of {', '.join(SIZES)}")
    if found is None:
        taken.append(f"{path} is not there yet, and is taken for {USUAL}")
        found = architecture_at(USUAL)
        assert found is not None
    return found
