"""Parts of embedded clips, with questions of their own: many lessons from few videos.

A part is a clip that begins and ends inside a longer one (`Clip.begin`), so nothing is rendered for it, and
its script is a script like any other: teachers play it without knowing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from eva_lightning.data.synthesis.questions import ask
from eva_lightning.data.synthesis.script import Script
from eva_lightning.records import Task


def part_of(script: Script, begin: int, end: int) -> Script:
    """What happens between two seconds, told from the first of them; sounds are left out."""
    events = tuple(
        replace(event, start=max(event.start, begin) - begin, end=min(event.end, end) - begin, hear=None)
        for event in script.events
        if event.start < end and event.end > begin
    )
    return replace(script, id=f"{script.id}-{begin}-{end}", duration=end - begin, events=events)


def lessons(
    scripts: Sequence[Script],
    seed: int,
    count: int,
    length: tuple[int, int],
    *,
    least: float = 0.0,
    open_share: float = 1.0,
    **asked: Any,
) -> Iterator[tuple[Script, Task]]:
    """`count` questions, each about a part of between so many seconds with two events or more.

    `least` is the share of its clip that a part has at least: without, most are much shorter than the clips.
    `asked` goes to `ask`: families, subjects.
    """
    dice = random.Random(f"parts/{seed}")
    number = 0
    while number < count:
        script = dice.choice(scripts)
        shortest = max(length[0], math.ceil(least * script.duration))
        seconds = dice.randint(shortest, min(max(length[1], shortest), script.duration))
        begin = dice.randint(0, script.duration - seconds)
        part = part_of(script, begin, begin + seconds)
        tasks = ask(part, seed, open_share=open_share, **asked) if len(part.events) > 1 else []
        if tasks:
            task = dice.choice(tasks)
            clip = replace(task.clips[0], path=f"clips/{script.id}.mp4", begin=begin, end=begin + seconds)
            yield part, replace(task, id=f"lesson/{number}", clips=(clip,))
            number += 1
