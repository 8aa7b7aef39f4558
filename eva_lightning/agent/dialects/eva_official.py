"""The spelling of EVA with the habits of its released evaluator, so that published numbers can be checked.

It reads a turn as that script does. An answer counts wherever it stands, also a bare "Answer: B" beside a
call. Of several call blocks only the first is read, and in it only what is spelled to the letter. A call at
which the script stops (nframes 0, 2.0 or missing, a clock string, another tool, the `name` key, no JSON) is
no call here: where none is left the turn says nothing, and the trajectory ends as `no_action`. Where one is
left, it is run, and no word is said of the others.

Two differences remain. The script counts no rounds where it raised (a clock string, say); ours counts them. A
count written 8.0 always stops here and "8" never; there 8.0 is run where the call is over its budget, and
there "8" raises.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from eva_lightning.agent.dialects.base import Parsed
from eva_lightning.agent.dialects.calls import CALLS, between
from eva_lightning.agent.dialects.eva import EvaDialect, letter_at_the_end, tagged_answer
from eva_lightning.records import ToolCall

_HEAD = re.compile(r'\{\s*"tool":\s*"frame_select",\s*"(?:arguments|parameters)":\s*(?=\{)')
_TAIL = re.compile(r"\}\s*\}")


class OfficialEvaDialect(EvaDialect):
    """EVA's tags, read as its released evaluator reads them."""

    def parse(self, text: str) -> Parsed:
        """An answer anywhere wins; then the calls of the first block that the script would run."""
        answer = tagged_answer(text) or letter_at_the_end(text)
        if answer is not None:
            return Parsed(answer=answer)
        block, _ = between(text, "<tool_call>", "</tool_call>")
        return Parsed(calls=tuple(islice(_calls(block or ""), CALLS)))


def _calls(block: str) -> Iterator[ToolCall]:
    """What is spelled to the letter, from its first brace to the first two that close one after the other."""
    head = _HEAD.search(block)
    while head is not None:
        tail = _TAIL.search(block, head.end())
        if tail is None:
            return
        arguments = _read(block[head.end() : tail.start() + 1])
        if arguments is not None:
            text = block[head.start() : tail.end()]
            yield ToolCall(name="frame_select", arguments=arguments, text=text)
        head = _HEAD.search(block, tail.end())


def _read(spelled: str) -> dict[str, Any] | None:
    """The four arguments of a call; None where the script stops or raises."""
    try:
        said = json.loads(spelled)
        start, end = _number(said["start_time"]), _number(said["end_time"])
        count, resize = _count(said["nframes"]), said.get("resize")
        size = 1.0 if resize is None else _number(resize)
    except (ValueError, KeyError, OverflowError, RecursionError):
        return None
    if count < 1 or size <= 0 or not math.isfinite(float(end) - float(start)):
        return None
    return {"start_time": start, "end_time": end, "nframes": count, "resize": size}


def _number(value: Any) -> int | float:
    """A number written as one: the script subtracts and multiplies what it read."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return value


def _count(value: Any) -> int:
    """A whole number, also in quotes; not 2.0, which the script's tool refuses."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f"{value!r} is not a whole number")
    return int(_number(int(value)))
