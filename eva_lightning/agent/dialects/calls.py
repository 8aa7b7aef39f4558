"""Calls as JSON between tags, read within bounds that all dialects share: how many, how long, how deep.

A turn is read from begin to end once, however it is spelled, because all trajectories share one event loop.
What is refused is told in words the model can act on; what a call means is the tool's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from eva_lightning.files.foreign_json import read_json, read_json_at
from eva_lightning.records import ToolCall

CALLS = 32
"""In one turn: calls, and attempts at one."""
CHARACTERS = 65_536
"""Between one pair of tags."""
NAME = 100
"""Characters of the name of a tool."""

_BETWEEN = re.compile(r"[ \t\r\n,;]*")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Under which keys the object of a call says which tool it means, and with what."""

    name: tuple[str, ...] = ("tool", "name")
    """Where its name may stand; models are told the first one."""
    arguments: tuple[str, ...] = ("arguments", "parameters")
    """Where its arguments may stand; models are told the first one."""
    quoted: bool = True
    """Whether the arguments may be JSON inside a string."""

    def __str__(self) -> str:
        return f'{{"{self.name[0]}": ..., "{self.arguments[0]}": {{...}}}}'


ANY = Keys()
"""Every spelling that is in use."""


def between(text: str, opening: str, closing: str, start: int = 0) -> tuple[str | None, int]:
    """What stands between the first two tags, and where it ends; None if they are not both there."""
    begin = text.find(opening, start)
    end = text.find(closing, begin + len(opening)) if begin >= 0 else -1
    if end < 0:
        return None, len(text)
    return text[begin + len(opening) : end], end + len(closing)


def calls_in(
    text: str, opening: str = "<tool_call>", closing: str = "</tool_call>", keys: Keys = ANY
) -> list[ToolCall | str]:
    """The calls of a turn, in order, and in their place what is wrong with those that can not be read."""
    found: list[ToolCall | str] = []
    for one in _each(text, opening, closing, keys):
        if len(found) == CALLS:
            return [*found, f"more than {CALLS} calls in one turn; the rest was not read"]
        found.append(one)
    return found


def _each(text: str, opening: str, closing: str, keys: Keys) -> Iterator[ToolCall | str]:
    position = text.find(opening)
    while position >= 0:
        block, end = between(text, opening, closing, position)
        if block is None:
            yield f"the tool call is not closed with {closing}"
            return
        yield from _in_block(block, keys)
        position = text.find(opening, end)


def _in_block(block: str, keys: Keys) -> Iterator[ToolCall | str]:
    """The calls inside one pair of tags, one JSON object after the other, or what is wrong with them."""
    if len(block) > CHARACTERS:
        yield f"the tool call has {len(block)} characters; at most {CHARACTERS} are read"
        return
    position = _after_space(block, 0)
    if position == len(block):
        yield "the tool call is empty"
    while position < len(block):
        try:
            value, end = read_json_at(block, position)
        except ValueError as problem:
            yield f"the tool call is not JSON ({problem})"
            return
        if value == []:
            yield "the tool call is empty"
        for one in value if isinstance(value, list) else [value]:
            yield _call(one, block[position:end], keys)
        position = _after_space(block, end)


def _after_space(block: str, position: int) -> int:
    space = _BETWEEN.match(block, position)
    assert space is not None
    return space.end()


def _call(value: Any, text: str, keys: Keys) -> ToolCall | str:
    if not isinstance(value, dict):
        return f"a tool call must be an object: {keys}"
    name = _first(value, keys.name)
    arguments = _first(value, keys.arguments)
    if isinstance(arguments, str) and keys.quoted:
        try:
            arguments = read_json(arguments)
        except ValueError as problem:
            return f"the arguments of the tool call are not JSON ({problem})"
    if not isinstance(name, str):
        return f"the tool call does not name its tool: {keys}"
    if len(name) > NAME:
        return f"the tool call has a name of {len(name)} characters; at most {NAME} are read"
    if not isinstance(arguments, dict):
        return f"the tool call of {name} has no arguments"
    return ToolCall(name=name, arguments=arguments, text=text)


def _first(value: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """What stands under the first of these keys that there is."""
    return next((value[key] for key in keys if key in value), None)
