"""Checks: why a story is not to be trained on, told without a model. Pure functions.

Times must leave no gap, exactly one answer must be right, and neither the question nor a clip may say which.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby, pairwise

from eva_lightning.data.mining.checks import plain
from eva_lightning.data.scripts.spec import Assembled, Order, ScriptSpec
from eva_lightning.data.scripts.story import Moment, Refused, Story

ROUNDING = 0.01
"""Seconds that two times may differ by and still be one."""

_NUMBERED = re.compile(
    r"\b(?:video|clip|option|step)s?\s+(?:[0-9]+|one|two|three|four|five|six|[a-f])\b"
    r"|\b(?:first|second|third|fourth|last) (?:video|clip|step)\b",
    re.IGNORECASE,
)
"""Words that name a clip or a place in an order: no author may know them."""


def check_story(story: Story, spec: ScriptSpec, order: Order) -> None:
    """Refused if a story can not be trusted."""
    for number, clip in enumerate(story.clips, start=1):
        _times(clip, number, spec)
    _silence(story, spec)
    if spec.in_step and len({tuple((one.start, one.end) for one in clip) for clip in story.clips}) > 1:
        raise Refused("times", "the clips show one time from several sides; want the same times in each")
    fitting = spec.fitting(order.case)
    _keys(story, spec, fitting)
    if fitting is not None:
        _told_apart(story, fitting)
    if len({_said(clip) for clip in story.clips}) < len(story.clips):
        raise Refused("several answers", "two clips say the same")
    if len({plain(one) for one in story.options}) < len(story.options):
        raise Refused("several answers", "two options say the same")
    _leaks(story, spec)


def check_question(asked: Assembled) -> None:
    """Refused if the question that was made of a story says its own answer."""
    numbers = {float(one) for one in re.findall(r"\d+(?:\.\d+)?", asked.question)}
    seconds = {second for one in asked.answer.intervals for second in one}
    if seconds and seconds <= numbers:
        raise Refused("leaked", f"the question says {', '.join(f'{second:g}' for second in sorted(seconds))}")


def signature(story: Story) -> str:
    """The same for two stories that ask the same of the same words."""
    return "\n".join([plain(story.question), *(_said(clip) for clip in story.clips)])


def _times(clip: Sequence[Moment], number: int, spec: ScriptSpec) -> None:
    if clip[0].start > ROUNDING:
        raise Refused("times", f"clip {number} begins at {clip[0].start:g} s; want 0")
    for before, after in pairwise(clip):
        if abs(after.start - before.end) > ROUNDING:
            raise Refused(
                "times", f"clip {number} goes from {before.end:g} to {after.start:g} s; want no gap"
            )
    if any(one.end - one.start <= ROUNDING for one in clip):
        raise Refused("times", f"clip {number} has an event without a length")
    low, high = spec.seconds
    if not low - ROUNDING <= clip[-1].end <= high + ROUNDING:
        raise Refused("times", f"clip {number} lasts {clip[-1].end:g} s; want {low:g} to {high:g}")


def _silence(story: Story, spec: ScriptSpec) -> None:
    if not spec.sound and any(one.hear for clip in story.clips for one in clip):
        raise Refused("not a story", "somebody speaks in it, but its clips have no sound")


def _keys(story: Story, spec: ScriptSpec, fitting: int | None) -> None:
    """Exactly those clips have key moments that hold something of the answer."""
    has = [span is not None for span in story.keys]
    if fitting is not None:
        if has != [place < fitting for place in range(len(has))]:
            raise Refused("several answers", f"key moments in clips {_listed(has)}; want the first {fitting}")
    elif spec.one_range:
        runs = [len(list(run)) for clip in story.clips for key, run in groupby(clip, _is_key) if key]
        if not all(has) or len(runs) != len(has):
            raise Refused("several answers", "want one range of key moments in each clip")
    elif not spec.shuffled and not any(has):
        raise Refused("not a story", "no moment is key")


def _is_key(one: Moment) -> bool:
    return one.key


def _listed(has: Sequence[bool]) -> str:
    return ", ".join(str(place) for place, one in enumerate(has, start=1) if one) or "none"


def _told_apart(story: Story, fitting: int) -> None:
    """The detail is in every right clip, in its key moments, and nowhere else."""
    wanted = f" {plain(story.detail)} "
    if not wanted.strip():
        raise Refused("not a story", "detail is empty")
    for number, clip in enumerate(story.clips, start=1):
        shown = [one for one in clip if wanted in f" {plain(one.see)} {plain(one.hear)} "]
        if number <= fitting and not any(one.key for one in shown):
            raise Refused("several answers", f"no key moment of clip {number} has {story.detail!r:.60}")
        if number <= fitting and not all(one.key for one in shown):
            raise Refused("several answers", f"clip {number} has {story.detail!r:.60} where nothing is key")
        if number > fitting and shown:
            raise Refused("leaked", f"clip {number}, which is not right, has {story.detail!r:.60}")


def _leaks(story: Story, spec: ScriptSpec) -> None:
    texts = [story.question, *(f"{one.see} {one.hear}" for clip in story.clips for one in clip)]
    for text in texts:
        if found := _NUMBERED.search(text):
            raise Refused("leaked", f"{found[0]!r} in {text[:60]!r} names a clip or a place")
    if story.options:
        said = [f" {plain(option)} " in f" {plain(story.question)} " for option in story.options]
        if said[0] and not all(said):
            raise Refused("leaked", f"the question says {story.options[0]!r:.60}")
        if spec.inferred:
            _hidden(story)
    if story.answer and f" {plain(story.answer)} " in f" {plain(story.question)} ":
        raise Refused("leaked", f"the question says {story.answer!r:.60}")


def _hidden(story: Story) -> None:
    """No clip shows an option word for word: it is to be inferred."""
    for number, clip in enumerate(story.clips, start=1):
        for option in story.options:
            if any(f" {plain(option)} " in f" {plain(one.see)} {plain(one.hear)} " for one in clip):
                raise Refused("leaked", f"clip {number} says the option {option!r:.60}")


def _said(clip: Sequence[Moment]) -> str:
    return " / ".join(plain(f"{one.see} {one.hear}") for one in clip)
