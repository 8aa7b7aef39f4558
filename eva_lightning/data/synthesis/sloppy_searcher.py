"""The sloppy searcher: the searcher, with the mistakes that EVA's authors name in bad trajectories.

For each attempt a seeded die decides whether a mistake is made and which. What follows it is honest about the
frames that were shown, and as sure of itself as good work is. It shows in the work alone which is which, and
a lucky answer after bad work stays a right one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal, get_args

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.data.synthesis.reading import NOTHING, Insight, label
from eva_lightning.data.synthesis.script import BACKGROUNDS, MARKS, Script
from eva_lightning.data.synthesis.search_reading import colours, followed, glances, listed, met, road
from eva_lightning.data.synthesis.searcher import Searcher, close
from eva_lightning.data.synthesis.searches import SCAN, SEARCHES
from eva_lightning.data.synthesis.sloppy import MISTAKES, SloppyTeacher, elsewhere, garble
from eva_lightning.data.synthesis.teachers import PlannedLook
from eva_lightning.engines.base import Context
from eva_lightning.records import FrameRef, Task

SearchMistake = Literal["guess", "hasty", "thin", "flood", "elsewhere", "blurred", "garbled"]
"""Answers without a look | after the first scan, though it proves nothing (of a signpost: takes either road
without a look at it) | after a scan of two or three
frames | far too many frames | reads its answer off the wrong moment or stretch | a frame too small for the
pattern on the plate | a malformed call, then recovery."""

SEARCH_MISTAKES: tuple[SearchMistake, ...] = get_args(SearchMistake)

BLURRED = 0.25
"""Size at which the pattern is gone."""


class SloppySearcher(Searcher):
    """Makes a mistake in `rate` of its attempts, and is the searcher in the others."""

    def __init__(
        self,
        scripts: Iterable[Script],
        tasks: Iterable[Task],
        dialect: Dialect,
        seed: int,
        *,
        rate: float = 0.7,
        mistakes: Sequence[SearchMistake] = SEARCH_MISTAKES,
        flood: int = 4,
        frames: int = SCAN,
        most: int = 2 * SCAN,
        **settings: Any,
    ) -> None:
        """Questions that need no search are the sloppy teacher's.

        `mistakes` are those that it makes, each as often as it is named; `flood` is how many times too many
        frames are asked for.
        """
        scripts, tasks = list(scripts), list(tasks)
        super().__init__(scripts, tasks, dialect, frames=frames, most=most, **settings)
        self.seed, self.rate, self.mistakes, self.flood = seed, rate, tuple(mistakes), flood
        known = [mistake for mistake in MISTAKES for one in self.mistakes if mistake == one]
        self.usual = SloppyTeacher(
            scripts, tasks, dialect, seed, rate=rate, mistakes=known, flood=flood, **settings
        )

    def __call__(self, context: Context) -> str:
        task, script, said = self.place(context)
        if task.source not in SEARCHES:
            return self.usual(context)
        mistake = self.mistake(context)
        if mistake is None:
            return super().__call__(context)
        dice = random.Random(f"{self._name(context)}/{said}")
        if mistake == "guess":
            return self.guess(task, NOTHING, dice)
        if mistake == "garbled":
            right = super().__call__(context)
            if said > 1:
                return right
            return f"Reflection: my call was malformed. {right}" if said else garble(right)
        if said == 0:
            return self.turn(None, self._first_look(mistake, task, script, dice))
        return self._after(mistake, context, dice) or super().__call__(context)

    def mistake(self, context: Context) -> SearchMistake | None:
        """The mistake of this attempt, the same in all of its turns; None is none."""
        dice = random.Random(self._name(context))
        if dice.random() >= self.rate:
            return None
        source = self.tasks[context.task_id].source
        never: set[SearchMistake] = set() if source in ("plate_while", "signpost") else {"blurred"}
        if source == "signpost":
            never.add("thin")
        if source == "first_of_two":
            never.add("hasty")  # a first scan often shows both, and then it is no mistake
        possible = [mistake for mistake in self.mistakes if mistake not in never]
        return dice.choice(possible) if possible else None

    def guess(self, task: Task, found: Insight, dice: random.Random) -> str:
        """The last turn after bad work: what the frames say, or else any plausible answer."""
        words = found.value or (dice.choice(task.options) if task.options else _any_answer(task, dice))
        return self.last_turn(found, words, "that proves it")

    def _name(self, context: Context) -> str:
        return f"sloppy searcher/{self.seed}/{context.task_id}/{context.place}"

    def _first_look(
        self, mistake: SearchMistake, task: Task, script: Script, dice: random.Random
    ) -> PlannedLook:
        """The first look of such an attempt."""
        if task.source == "signpost":
            at = task.extra["signpost"]
            if mistake == "hasty":
                return close(dice.choice(sorted(task.extra["means"].values())))
            return self.scan(script, at, at, 1)
        count = self.frames
        if mistake == "thin":
            count = dice.randint(2, 3)
        if mistake == "flood":
            count *= self.flood
            if task.source == "how_often":  # which needs so many that none can hide
                count = max(count, self.flood * script.told // (self.shortest - 1))
        if mistake == "elsewhere" and task.source in ("first_of_two", "how_often"):
            start = elsewhere(task, script, dice)
            return self.scan(script, start, start + 2, 3)
        return self.scan(script, 0, script.told, count)

    def _after(self, mistake: SearchMistake, context: Context, dice: random.Random) -> str | None:
        """What follows the first look; None is what the searcher does."""
        task, script, _ = self.place(context)
        found = self.read(context, task, script)
        if task.source == "signpost" and mistake in ("hasty", "elsewhere"):
            return self._past_the_signpost(mistake, context, found, dice)
        if mistake in ("thin", "hasty"):
            return None if found.proven else self.guess(task, found, dice)
        if task.source in ("plate_while", "signpost") and mistake in ("blurred", "flood"):
            return self._plate_badly(mistake, context, found, dice)
        if mistake == "elsewhere":
            if task.source == "plate_while":
                return self._plate_elsewhere(context, found, dice)
            if task.source == "right_after":
                return self._border_elsewhere(context, found, dice)
            return self.guess(task, found, dice)
        return None

    def _plate_badly(
        self, mistake: SearchMistake, context: Context, found: Insight, dice: random.Random
    ) -> str | None:
        """A look at the plate with frames that are too small, or too many; None is neither."""
        task, script, said = self.place(context)
        if mistake == "blurred" and len(_newest(context)) == 1 and (said > 1 or task.source != "signpost"):
            return self.guess(task, found, dice)
        look = self.next_search(task, script, context.frames)
        if found.proven or look is None or look.nframes > 1:
            return None  # it was read by now, or is not found yet
        if mistake == "blurred":
            return self.turn(found, replace(look, resize=BLURRED))
        end = min(look.start + 2, script.told)
        return self.turn(found, replace(look, end=end, nframes=2 * self.flood))

    def _plate_elsewhere(self, context: Context, found: Insight, dice: random.Random) -> str:
        """A large frame of another background, and the pattern that is there."""
        task, script, said = self.place(context)
        seen = glances(_newest(context), script)
        if said > 1:
            mark = seen[0].scene.mark
            return self.guess(
                task, replace(found, value=mark, words=f"{listed(seen, colours(task))}; {mark}"), dice
            )
        ((colour, _),) = met(task, seen).items()
        wrong = [sight for sight in seen if sight.scene.background != colour]
        return self.turn(found, close(label(dice.choice(wrong or seen).time)))

    def _past_the_signpost(
        self, mistake: SearchMistake, context: Context, found: Insight, dice: random.Random
    ) -> str:
        """The road that was not meant, and the pattern that is there."""
        task, script, said = self.place(context)
        if mistake == "elsewhere" and said == 1:
            meant = road(task, script, context.frames)
            assert meant is not None  # it has just looked at the signpost
            (wrong,) = set(task.extra["means"].values()) - {meant[1]}
            return self.turn(found, close(wrong))
        (there,) = glances(_newest(context), script)
        mark = there.scene.mark
        words = f"{mark} at second {label(there.time)}"
        return self.guess(task, replace(found, value=mark, words=words), dice)

    def _border_elsewhere(self, context: Context, found: Insight, dice: random.Random) -> str | None:
        """A closer look at what follows another background, and an answer read off there."""
        task, script, said = self.place(context)
        newest, seen = glances(_newest(context), script), glances(context.frames, script)
        if said > 1:
            first = newest[0].scene.background
            last = [sight for sight in newest if sight.scene.background == first][-1]
            after = next((sight for sight in seen if sight.time > last.time), last)
            then = followed(newest[0], after)
            words = f"{listed(newest, colours(task))}; {then}"
            return self.guess(task, replace(found, value=after.scene.background, words=words), dice)
        ((colour, _),) = met(task, seen).items()
        borders = [
            (label(one.time), label(two.time))
            for one, two in pairwise(seen)
            if one.scene.background not in (colour, two.scene.background)
        ]
        return self.turn(found, self.between(script, *dice.choice(borders))) if borders else None


def _newest(context: Context) -> tuple[FrameRef, ...]:
    return context.messages[-1].frames


def _any_answer(task: Task, dice: random.Random) -> str:
    """An answer of the right kind that needed no look."""
    if task.source == "how_often":
        return str(dice.randint(1, 4))
    return dice.choice(MARKS if task.source in ("plate_while", "signpost") else BACKGROUNDS)
