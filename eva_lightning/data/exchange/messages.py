"""One message of a row: its role under many names, its words as a text or in parts, its calls.

Calls may stand apart from the words or in them. Reading only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from eva_lightning.data.exchange.conversation import Call, Piece, Said, cut
from eva_lightning.files.encoding import FieldError
from eva_lightning.files.foreign_json import read_json, unfit
from eva_lightning.records import Role

ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "function": "tool",
}

CALLING = ("function_call", "tool_call")
"""Roles of messages that are calls; ms-swift has one for each call, after the words that lead to them."""

PICTURES = ("image", "image_url")
"""Types of parts that are images."""


def messages(value: Any, field: str) -> list[Said]:
    """The messages of a list, tagged from/value or role/content.

    Calls that stand in messages of their own belong to the turn before them.
    """
    if not isinstance(value, list):
        raise FieldError(f"{field}: want a list of messages")
    said: list[Said] = []
    for place, one in enumerate(value):
        read = _message(one, f"{field}[{place}]")
        if said and said[-1].role == "assistant" and one.get("role") == "tool_call":
            said[-1] = replace(said[-1], calls=(*said[-1].calls, *read.calls))
        else:
            said.append(read)
    return said


def _message(one: Any, field: str) -> Said:
    if not isinstance(one, dict):
        raise FieldError(f"{field}: want an object")
    tag, words = ("from", "value") if "from" in one else ("role", "content")
    role = ROLES.get(str(one.get(tag)))
    if role is None:
        raise FieldError(f"{field}.{tag}: {one.get(tag)!r} is none of {', '.join(ROLES)}")
    if one.get(tag) in CALLING:
        return Said(role=role, pieces=(), calls=_calls(one.get(words), f"{field}.{words}"))
    calls = _calls(one.get("tool_calls"), f"{field}.tool_calls") if one.get("tool_calls") else ()
    if calls and one.get(words) is None:
        return Said(role=role, pieces=(), calls=calls)
    return Said(role=role, pieces=_pieces(one.get(words), f"{field}.{words}"), calls=calls)


def _pieces(value: Any, field: str) -> tuple[Piece, ...]:
    if isinstance(value, str):
        return cut(value)
    if not isinstance(value, list):
        raise FieldError(f"{field}: want a text or a list of parts")
    return tuple(_piece(one, f"{field}[{place}]") for place, one in enumerate(value))


def _piece(one: Any, field: str) -> Piece:
    kind = one.get("type") if isinstance(one, dict) else None
    if kind in PICTURES:
        return None
    if kind == "text" and isinstance(one.get("text"), str):
        return str(one["text"])
    raise FieldError(f"{field}: want a part of type text or image, not {kind!r}")


def _calls(value: Any, field: str) -> tuple[Call, ...]:
    """Calls as an object, a list of them, or the text of either; each may be wrapped as a `function`."""
    held = _object(value, field)
    return tuple(_call(one, field) for one in (held if isinstance(held, list) else [held]))


def _call(one: Any, field: str) -> Call:
    wrapped = one.get("function", one) if isinstance(one, dict) else None
    if not isinstance(wrapped, Mapping) or not isinstance(wrapped.get("name"), str):
        raise FieldError(f'{field}: want {{"name": ..., "arguments": {{...}}}}')
    arguments = _object(wrapped.get("arguments", {}), f"{field}.arguments")
    if not isinstance(arguments, dict):
        raise FieldError(f"{field}.arguments: want an object")
    if why := unfit(arguments):
        raise FieldError(f"{field}.arguments: {why}")
    return Call(name=wrapped["name"], arguments=arguments)


def _object(value: Any, field: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return read_json(value)
    except ValueError as problem:
        raise FieldError(f"{field}: not JSON ({problem})") from None
