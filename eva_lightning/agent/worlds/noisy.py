"""A world of words with mistakes: it forgets, rewords, and gets details wrong, as describers do.

A policy that learned where every word is true trusts too much. The mistakes are drawn from a seed and from
what was asked, and from nothing else: the same call is answered the same way, whoever asks and when.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eva_lightning.agent.worlds.base import ClipFacts, Glimpse, Look, Sound, World
from eva_lightning.faults import UsageError
from eva_lightning.records import Clip
from eva_lightning.video.quarantine import Quarantine

FORGOTTEN = "nothing of note"
"""What is told where every line was forgotten."""
ALIKE: tuple[tuple[str, ...], ...] = (
    ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "brown", "pink", "white", "black", "grey"),
    ("left", "right"),
    ("up", "down"),
    ("one", "two", "three", "four", "five", "six"),
    ("first", "second", "third", "fourth"),
    ("man", "woman", "boy", "girl"),
    ("circle", "square", "triangle", "cross"),
    ("rows", "columns", "checks", "slants"),
    ("large", "small"),
    ("open", "closed"),
    ("before", "after"),
)
"""Words that are taken for each other; so are neighbouring numbers."""
REWORDED = (
    "it looks as if there is this: {}",
    "one notices {}",
    "{}, by all appearances",
    "what is there: {}",
)
"""Ways to say the same."""

_KIN = {word: group for group in ALIKE for word in group}
_DETAIL = re.compile(rf"\b(?:{'|'.join(sorted(_KIN))}|\d{{1,6}})\b")


class Noisy(World):
    """Any world of words, less reliable."""

    has_pictures = False

    def __init__(
        self,
        world: World,
        forget: float = 0.1,
        paraphrase: float = 0.2,
        wrong: float = 0.05,
        seed: int = 0,
    ) -> None:
        """
        Args:
            world: What it is that is told.
            forget: Share of the lines that are left out.
            paraphrase: Share of the lines that are worded otherwise.
            wrong: Share of the lines in which a detail (a colour, a number, a side) is not the true one.
            seed: Dice of the mistakes.
        """
        shares = {"forget": forget, "paraphrase": paraphrase, "wrong": wrong}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise UsageError(f"Noisy with {name} {share:g}: want a share from 0 to 1")
        if not world.has_words:
            raise UsageError(f"Noisy takes a world of words, and {type(world).__name__} has none")
        self.world, self.forget, self.paraphrase, self.wrong = world, forget, paraphrase, wrong
        self.seed = seed

    def facts(self) -> dict[str, Any]:
        rates = {name: getattr(self, name) for name in ("forget", "paraphrase", "wrong", "seed")}
        return {"of": {"class": type(self.world).__name__} | self.world.facts()} | rates

    def describe(self, clip: Clip) -> ClipFacts:
        return self.world.describe(clip)

    def viewing(self, clip: Clip, times: Sequence[float]) -> Look:
        return self.world.viewing(clip, times)

    async def look(self, clip: Clip, times: Sequence[float], height: int, width: int) -> list[Glimpse]:
        seen = await self.world.look(clip, times, height, width)
        dice = self._dice("look", _named(clip), *times)
        return [
            replace(one, content=self._line(one.content, dice) or FORGOTTEN)
            if isinstance(one.content, str)
            else one
            for one in seen
        ]

    async def tell(self, looks: Sequence[Look], focus: str) -> str:
        said = await self.world.tell(looks, focus)
        asked = [(_named(look.clip), look.times) for look in looks]
        return self._lines(said, self._dice("tell", asked, focus)) or FORGOTTEN

    async def listen(self, clip: Clip, start: float, end: float) -> Sound:
        sound = await self.world.listen(clip, start, end)
        return replace(sound, text=self._lines(sound.text, self._dice("listen", _named(clip), start, end)))

    @property
    def quarantine(self) -> Quarantine | None:
        return self.world.quarantine

    @property
    def proxies(self) -> str | None:
        return self.world.proxies

    def close(self) -> None:
        self.world.close()

    def _dice(self, *asked: object) -> random.Random:
        return random.Random(f"noisy/{self.seed}/{asked!r}")

    def _lines(self, said: str, dice: random.Random) -> str:
        kept = [self._line(line, dice) for line in said.split("\n")]
        return "\n".join(line for line in kept if line is not None)

    def _line(self, line: str, dice: random.Random) -> str | None:
        """A line with its mistakes; None if it is forgotten. Every line throws the same number of dice."""
        forgotten, wrong, reworded = dice.random(), dice.random(), dice.random()
        which, other, way = dice.random(), dice.random(), dice.random()
        if forgotten < self.forget:
            return None
        head, mark, words = line.partition(": ")  # where it stands, and what
        head, words = (head, words) if mark else ("", head)
        if wrong < self.wrong:
            words = _mistaken(words, which, other)
        if reworded < self.paraphrase and words.strip():
            words = REWORDED[int(way * len(REWORDED))].format(words)
        return f"{head}{mark}{words}"


def _named(clip: Clip) -> tuple[object, ...]:
    """Which part of what: ids are unique within a task only."""
    return clip.path or clip.id, clip.begin or 0.0, clip.end


def _mistaken(words: str, which: float, other: float) -> str:
    """Words with one detail that is not true; where they have none, the last word is not understood."""
    details = list(_DETAIL.finditer(words))
    if not details:
        head, mark, last = words.rpartition(" ")
        return f"{head}{mark}something" if last else words
    found = details[int(which * len(details))]
    if found[0].isdigit():
        put = str(max(int(found[0]) + (1 if other < 0.5 else -1), 0))
        put = put if put != found[0] else "1"
    else:
        others = [word for word in _KIN[found[0]] if word != found[0]]
        put = others[int(other * len(others))]
    return f"{words[: found.start()]}{put}{words[found.end() :]}"
