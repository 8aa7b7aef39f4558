"""Authors of stories: any engine that is told what to write, or a grammar that needs none.

Both hand over text, which is read and checked in one way (writing.py); neither knows where a clip or an
option will be shown.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod

from eva_lightning.data.scripts.grammar import written_offline
from eva_lightning.data.scripts.spec import Order, ScriptSpec
from eva_lightning.data.scripts.story import Refused
from eva_lightning.engines.base import Engine, Sampling
from eva_lightning.engines.single_turn import ask
from eva_lightning.faults import EngineFault, EngineRefusal
from eva_lightning.records import FrameRef
from eva_lightning.video.decoder import Pixels


class ScriptAuthor(ABC):
    """Writes the story of an order, as text."""

    engine: Engine | None = None
    """Who is asked; None for an author that asks nobody."""

    @abstractmethod
    async def write(self, spec: ScriptSpec, order: Order, seed: int) -> str:
        """The story as JSON. Refused if there is none; EngineFault if nobody is there to write it."""


class GrammarAuthor(ScriptAuthor):
    """Puts stories together from lists of words: the same seed writes the same, and nobody is asked."""

    async def write(self, spec: ScriptSpec, order: Order, seed: int) -> str:
        return json.dumps(written_offline(spec, order, seed))


class EngineAuthor(ScriptAuthor):
    """Has an engine write: a ServerEngine, a CheckpointEngine."""

    def __init__(
        self, engine: Engine, *, temperature: float = 0.9, max_tokens: int = 8192, timeout: float = 600.0
    ) -> None:
        """
        Args:
            engine: Writes the replies.
            temperature: Of its words.
            max_tokens: Tokens of one reply.
            timeout: Seconds to wait for one.
        """
        self.engine = engine
        self.temperature, self.max_tokens, self.timeout = temperature, max_tokens, timeout

    async def write(self, spec: ScriptSpec, order: Order, seed: int) -> str:
        sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens, seed=seed)
        assert self.engine is not None
        try:
            parts = [request(spec, order)]
            said = await ask(self.engine, parts, _no_pixels, sampling, clips=(), timeout=self.timeout)
        except EngineRefusal as problem:
            raise Refused("no reply", str(problem)) from None
        if said.cut:
            raise Refused("cut short", f"the reply was not over after {self.max_tokens} tokens")
        return said.text


def request(spec: ScriptSpec, order: Order) -> str:
    """What an author is asked for, whole."""
    count, fitting = spec.count(order.case), spec.fitting(order.case)
    low, high = spec.seconds
    rules = [
        f"Write {count} clips of {low:g} to {high:g} seconds each, as lists of events. An event says "
        "what is seen, concretely and without judging it"
        + (", and what is said, if anything." if spec.sound else "; nobody says anything."),
        "The first event of a clip begins at 0, and each begins exactly where the one before it ends.",
        'An event that one must perceive to answer has "key": true.',
        "Never name a clip, a step or an option by its number or place.",
    ]
    if fitting:
        rules.append(f"The right clips come first: clip 1 to {fitting}. No other clip has a key event.")
    if "detail" in spec.wants:
        rules.append(
            "detail: a few words that stand in a key event of every right clip, word for word, and "
            "nowhere else."
        )
    if spec.options:
        rules.append(
            f"options: {spec.options} short texts of one style; the first one is right, all others wrong."
        )
    if spec.inferred:
        rules.append("No event may say an option word for word.")
    if spec.in_step:
        rules.append("All clips have events of the same times.")
    told = "\n".join(f"- {rule}" for rule in rules)
    return (
        f"{spec.prompt.format(**order.case)}\n\n{told}\n\n"
        f"Reply with one JSON object and nothing else:\n{_form(spec)}"
    )


def _form(spec: ScriptSpec) -> str:
    """The shape of a story, with dots for words."""
    hear = ', "hear": "..."' if spec.sound else ""
    shapes = {"options": '["...", "..."]', "points": '["...", "..."]'}
    fields = "".join(f', "{name}": {shapes.get(name, chr(34) + "..." + chr(34))}' for name in spec.wants)
    return f'{{"clips": [[{{"start": 0, "end": 4.5, "see": "..."{hear}, "key": false}}]]{fields}}}'


def _no_pixels(frame: FrameRef) -> Pixels:
    raise EngineFault(f"an author of scripts is shown no frame, but {frame} was asked for")
