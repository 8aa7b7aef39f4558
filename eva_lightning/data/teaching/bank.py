"""The bank of good trajectories to learn from: what was done at the questions most like this one.

Words are compared, no model is asked.

A question is never shown what was done at itself, or at any clip of its own: that would give the answer away.
"""

from __future__ import annotations

import heapq
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from eva_lightning.records import Task, Trajectory

TURN_CHARACTERS = 600
"""How much of one message an experience tells."""


@dataclass(frozen=True, kw_only=True)
class Experience:
    """A good trajectory in a few lines."""

    task_id: str
    """Its task."""
    clips: frozenset[str]
    """Its clips, as `clips_of` names them."""
    length: float
    """By which its likeness is divided, or else long questions would be like everything."""
    story: str
    """What was asked, done and answered."""


class ExperienceBank:
    """Keeps experiences and finds those whose questions are most like a new one: rare words weigh more."""

    def __init__(self, trajectories: Iterable[Trajectory] = ()) -> None:
        self._kept: list[Experience] = []
        self._holders: dict[str, list[int]] = defaultdict(list)
        for one in trajectories:
            self.add(one)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, one: Trajectory) -> None:
        """Keep a trajectory. Whether it is good is the caller's business."""
        words = words_of(one.task.text)
        for word in words:
            self._holders[word].append(len(self._kept))
        self._kept.append(
            Experience(
                task_id=one.task.id,
                clips=clips_of(one.task),
                length=math.sqrt(len(words)),
                story=story_of(one),
            )
        )

    def nearest(self, task: Task, count: int = 1) -> list[Experience]:
        """At most `count` experiences with other tasks and other clips, the most similar question first.

        At most one of each task; equals in the order in which they came.
        """
        own = clips_of(task)
        likeness: dict[int, float] = defaultdict(float)
        for word in words_of(task.text) & self._holders.keys():
            holders = self._holders[word]
            weight = math.log(1 + len(self._kept) / len(holders)) ** 2
            for place in holders:
                likeness[place] += weight
        order = [(-value / self._kept[place].length, place) for place, value in likeness.items()]
        heapq.heapify(order)  # thousands of them, of which the first few are wanted
        found: dict[str, Experience] = {}
        while order and len(found) < count:
            one = self._kept[heapq.heappop(order)[1]]
            if one.task_id != task.id and not one.clips & own:
                found.setdefault(one.task_id, one)
        return list(found.values())


def words_of(text: str) -> frozenset[str]:
    """The words of a text, each once.

    >>> sorted(words_of("Which colour? Which?"))
    ['colour', 'which']
    """
    return frozenset(re.findall(r"\w+", text.lower()))


def clips_of(task: Task) -> frozenset[str]:
    """What a task's clips are known by: the file, whichever part of it is meant, or else the name."""
    return frozenset(os.path.realpath(clip.path) if clip.path else clip.id for clip in task.clips)


def story_of(one: Trajectory) -> str:
    """A trajectory as another teacher reads it: words and calls, frames told in a line."""
    lines = [f"Question: {one.task.text.strip()}"]
    for turn in one.turns:
        text = turn.text.strip()
        lines.append(text if len(text) <= TURN_CHARACTERS else text[: TURN_CHARACTERS - 4].rstrip() + " ...")
        if turn.observation is not None:
            frames = turn.observation.frames
            times = ", ".join(f"{frame.time:.1f}" for frame in frames[:8])
            more = ", ..." if len(frames) > 8 else ""
            lines.append(f"({len(frames)} frames were shown, at {times}{more} seconds)")
    return "\n".join(lines)
