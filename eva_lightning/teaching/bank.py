"""Good trajectories to learn from: what was done at the questions most like this one. Words are compared, no
model is asked.

A question is never shown what was done at itself, or at any clip of its own: that would give the answer away.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter, defaultdict
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
    words: Counter[str]
    """The words of its question."""
    story: str
    """What was asked, done and answered."""


class ExperienceBank:
    """Keeps experiences and finds those whose questions are most like a new one, by TF-IDF."""

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
            Experience(task_id=one.task.id, clips=clips_of(one.task), words=words, story=story_of(one))
        )

    def nearest(self, task: Task, count: int = 1) -> list[Experience]:
        """At most `count` experiences with other tasks and other clips, the most similar question first;
        at most one of each task. Equals in the order in which they came."""
        own = clips_of(task)
        likeness: dict[int, float] = defaultdict(float)
        for word, times in words_of(task.text).items():
            holders = self._holders.get(word, [])
            for place in holders:
                weight = self._rarity(word) ** 2
                likeness[place] += times * self._kept[place].words[word] * weight
        found: dict[str, Experience] = {}
        for place in sorted(likeness, key=lambda place: (-likeness[place] / self._length(place), place)):
            one = self._kept[place]
            if one.task_id != task.id and not one.clips & own:
                found.setdefault(one.task_id, one)
            if len(found) == count:
                break
        return list(found.values())

    def _rarity(self, word: str) -> float:
        """Inverse document frequency; above 0 even for a word that all questions have."""
        return math.log(1 + len(self._kept) / len(self._holders[word]))

    def _length(self, place: int) -> float:
        words = self._kept[place].words
        return math.sqrt(sum((times * self._rarity(word)) ** 2 for word, times in words.items()))


def words_of(text: str) -> Counter[str]:
    """How often each word occurs.

    >>> words_of("Which colour? Which?")
    Counter({'which': 2, 'colour': 1})
    """
    return Counter(re.findall(r"\w+", text.lower()))


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
