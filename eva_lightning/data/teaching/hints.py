"""What a teacher is told that does not know EVA's format by heart, and the hints that make its work varied.

Text only. Who is told what is decided in coach.py; no word of it may end up in a trajectory, which is why
every hint speaks of itself by one word, "briefing", that a filter can find.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from eva_lightning.agent.dialects.base import Dialect
from eva_lightning.agent.tools.base import Tool

HintKind = Literal["format", "experience", "workflow", "reflection"]
"""The format and nothing else | a success at a question like this one | a way to go about it | what to ask
oneself after each look."""

WORKFLOWS = (
    "Go from coarse to fine: first a few small frames of the whole video, then larger ones where it matters.",
    "Guess first where in the video the answer must be, from the words of the question alone; look there "
    "before anywhere else, and widen the window only if nothing is found.",
    "Halve the search: look at a few moments, decide which part holds the answer, and look into that part.",
    "Say first which single picture would prove the answer. Then spend as few frames as you can to find it.",
    "Go through the options one by one: which look would rule an option out? Make the cheapest such look.",
)

REFLECTIONS = (
    "After each look ask yourself: what have these frames proved, and what have they not shown?",
    "After each look name one way in which your conclusion could be wrong. If one look can settle it, make "
    "that look; if not, answer.",
    "After each look compare its cost with what it told you, and plan the next one with fewer or smaller "
    "frames, unless detail was what was missing.",
    "Before you answer, point to the frames, by their times, that the answer rests on. If there are none, "
    "you are guessing: look again.",
)

_LEAK = re.compile(r"\b(?:de)?brief(?:ing|ed)|\bauditor", re.IGNORECASE)


def manual(dialect: Dialect, tools: Sequence[Tool], *, turns: int, clips: tuple[str, ...]) -> str:
    """The tools and the format, for a model that was never trained on them; spelled by the dialect."""
    return (
        "Briefing, for you alone; never mention it. You have not seen the video: you see only the frames "
        "that you ask for.\n"
        "Each of your messages is a few sentences in plain words and ends either with one call of a tool "
        "or with the answer, never with both.\n"
        "- In your first message write a plan: what must be seen to answer, and where to look for it.\n"
        "- In each later message write a summary of what the frames show, a reflection on whether that is "
        "enough, and, if it is not, the next plan.\n"
        f"{dialect.manual(tools, clips)}\n"
        f"You may write {turns} messages at most. The answer is written like this, as short as the question "
        f"allows (the letter alone if there are options):\n{dialect.reply('...')}"
    )


def told(hint: str) -> str:
    """A workflow or reflection hint, as the teacher reads it."""
    return f"Briefing, for this question: {hint}"


def told_experience(experience: str) -> str:
    """A past success, as the teacher reads it."""
    return (
        "Briefing: this is how a question like yours, about another video, was answered well. Learn from the "
        f"way it was done; its times and its answer are not yours.\n{experience}"
    )


def told_objection(reason: str) -> str:
    """What is wrong with a message, as the teacher reads it."""
    return (
        f"The auditor objects: {reason}. Write your last message again, from its beginning and as if for the "
        "first time. Mention neither the auditor nor this note."
    )


def leaked(text: str, question: str) -> str | None:
    """The word by which a message gives away that its author was briefed; None if there is none.

    >>> leaked("As the briefing says, I look first.", "What colour is it?")
    'briefing'
    >>> leaked("A man gives a briefing.", "Who gives the briefing?")
    """
    found = _LEAK.search(text)
    return found[0] if found and not _LEAK.search(question) else None
