"""A kind of question across clips: what may vary, how an author is told, and how a story becomes a task.

A spec knows no author and no file. `orders` deals the grid of its axes, and where the right clip or option
is shown, so that every place is right equally often.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from eva_lightning.data.scripts.story import Story
from eva_lightning.records import Answer


@dataclass(frozen=True, kw_only=True)
class Order:
    """One task that is to be written."""

    kind: str
    """Kind of the question."""
    number: int
    """Which of its kind, from 0."""
    case: Mapping[str, str]
    """A value of each axis."""
    places: tuple[int, ...]
    """Where each clip of the story is shown, from 0."""
    place: int = 0
    """Where the right option is shown, from 0."""
    seed: int = 0
    """Dice."""

    @property
    def name(self) -> str:
        """Id of its task: "CC-0-17"."""
        return f"{self.kind}-{self.seed}-{self.number}"


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A question, before it has clips with names."""

    question: str
    """As the agent reads it."""
    answer: Answer
    """The gold answer."""
    options: tuple[str, ...] = ()
    """Texts of the options."""
    evidence: tuple[tuple[int, float, float], ...] = ()
    """Where the answer is to be seen: clip as shown (from 0), first and last second."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """What else is kept with the task."""


@dataclass(frozen=True, kw_only=True)
class ScriptSpec:
    """One kind of question."""

    kind: str
    """Its short name, which is the source of its tasks."""
    axes: Mapping[str, tuple[str, ...]]
    """What varies, and which values each of it takes: a task is one point of that grid."""
    prompt: str
    """What an author is asked for, with axes in braces."""
    assemble: Callable[[Story, Order], Assembled]
    """Makes the question of a story that passed the checks."""
    wants: tuple[str, ...] = ("question",)
    """Fields of the story beside its clips."""
    clips: int | str
    """How many clips, or the axis that says so."""
    right: int | str | None = None
    """How many of them are right, or the axis that says so; None where no clip is the answer."""
    options: int = 0
    """How many options an author writes; 0 where there are none or they are the clips."""
    seconds: tuple[float, float]
    """Shortest and longest clip."""
    sound: bool = True
    """Whether anything is said in its clips."""
    shuffled: bool = False
    """Whether the clips are shown in an order that is dealt; else as they are written."""
    in_step: bool = False
    """Whether all clips show the same time from different sides."""
    one_range: bool = False
    """Whether every clip has key moments, and all of a clip in a row."""
    inferred: bool = False
    """Whether the right option must be concluded: no clip may show one word for word."""

    def count(self, case: Mapping[str, str]) -> int:
        """Clips of a case."""
        return _said(self.clips, case)

    def fitting(self, case: Mapping[str, str]) -> int | None:
        """Right clips of a case; None where no clip is the answer."""
        return None if self.right is None else _said(self.right, case)


def _said(value: int | str, case: Mapping[str, str]) -> int:
    return int(case[value]) if isinstance(value, str) else value


def orders(specs: Sequence[ScriptSpec], count: int, seed: int) -> Iterator[Order]:
    """So many orders, of all kinds in turn; the first ones are the same whatever the count."""
    decks = {spec.kind: _Decks(spec, seed) for spec in specs}
    for index in range(count):
        yield decks[specs[index % len(specs)].kind].order(index // len(specs))


class _Decks:
    """Cases and places of one kind, dealt without repetition until all of them were."""

    def __init__(self, spec: ScriptSpec, seed: int) -> None:
        self.spec, self.seed = spec, seed
        self._dice = random.Random(f"scripts/{seed}/{spec.kind}")
        self._left: dict[tuple[str, int], list[int]] = {}

    def order(self, number: int) -> Order:
        case = self._case(self._next("case", prod(map(len, self.spec.axes.values()))))
        clips = self.spec.count(case)
        first = self._next("clip", clips)
        rest = [place for place in range(clips) if place != first]
        self._dice.shuffle(rest)
        return Order(
            kind=self.spec.kind,
            number=number,
            case=case,
            places=(first, *rest) if self.spec.shuffled else tuple(range(clips)),
            place=self._next("option", self.spec.options) if self.spec.options else 0,
            seed=self.seed,
        )

    def _next(self, what: str, count: int) -> int:
        left = self._left.setdefault((what, count), [])
        if not left:
            left += self._dice.sample(range(count), count)
        return left.pop()

    def _case(self, index: int) -> dict[str, str]:
        """The values at a point of the grid."""
        case = {}
        for name, values in self.spec.axes.items():
            index, place = divmod(index, len(values))
            case[name] = values[place]
        return case
