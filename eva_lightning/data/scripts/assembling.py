"""Assembling: a checked story becomes a question with options, a gold answer and its evidence.

One function for each form of answer, shared by all kinds of question that have it.
"""

from __future__ import annotations

from eva_lightning.data.scripts.spec import Assembled, Order
from eva_lightning.data.scripts.story import Story
from eva_lightning.records import Answer, letters


def which_clip(story: Story, order: Order) -> Assembled:
    """Which one is it? The options are the clips."""
    return _clips_as_options(story, order, several=False)


def which_clip_if_any(story: Story, order: Order) -> Assembled:
    """The same, with "None" behind the clips."""
    return _clips_as_options(story, order, several=False, none=True)


def which_clips(story: Story, order: Order) -> Assembled:
    """Which of them are it?"""
    return _clips_as_options(story, order, several=True)


def _clips_as_options(story: Story, order: Order, *, several: bool, none: bool = False) -> Assembled:
    options = (*(f"Video {place + 1}" for place in range(len(order.places))), *(["None"] if none else []))
    known = letters(len(options))
    right = [order.places[one] for one, span in enumerate(story.keys) if span is not None]
    named = tuple(known[place] for place in sorted(right)) or (known[-1],)
    answer = Answer(kind="multi", value=named) if several else Answer(kind="choice", value=named[0])
    return Assembled(
        question=story.question,
        options=options,
        answer=answer,
        evidence=_keys(story, order) if right else _whole(story, order),
    )


def words_as_options(story: Story, order: Order) -> Assembled:
    """One of several statements is right."""
    right, *others = story.options
    options = [*others[: order.place], right, *others[order.place :]]
    answer = Answer(kind="choice", value=letters(len(options))[order.place])
    return Assembled(
        question=story.question, options=tuple(options), answer=answer, evidence=_keys(story, order)
    )


def true_order(story: Story, order: Order) -> Assembled:
    """In which order belong the clips? They are named by the numbers under which they are shown."""
    named = tuple(str(place + 1) for place in order.places)
    question = (
        f"{story.question} The videos are shuffled pieces of it. In which order do they belong? Answer with "
        "their numbers, joined by arrows, the earliest first."
    )
    return Assembled(
        question=question, answer=Answer(kind="order", value=named), evidence=_whole(story, order)
    )


def same_step(story: Story, order: Order) -> Assembled:
    """When does the second clip show what the first one shows in a range? Its step is not named."""
    shown, sought = (span for span in story.keys if span is not None)
    question = (
        f"Video 1 shows a step from {shown[0]:g} to {shown[1]:g} seconds. From which second to which does "
        "Video 2 show the same step? Answer as: START to END."
    )
    return Assembled(
        question=question, answer=Answer(kind="interval", value=sought), evidence=_keys(story, order)
    )


def in_words(story: Story, order: Order) -> Assembled:
    """An open question, whose answer is graded by the points that it makes."""
    return Assembled(
        question=story.question,
        answer=Answer(kind="text", value=story.answer),
        evidence=_keys(story, order),
        extra={"points": list(story.points)},
    )


def _keys(story: Story, order: Order) -> tuple[tuple[int, float, float], ...]:
    """The key moments of each clip."""
    return tuple(
        (order.places[one], moment.start, moment.end)
        for one, clip in enumerate(story.clips)
        for moment in clip
        if moment.key
    )


def _whole(story: Story, order: Order) -> tuple[tuple[int, float, float], ...]:
    """All of every clip."""
    return tuple((order.places[one], 0.0, clip[-1].end) for one, clip in enumerate(story.clips))
