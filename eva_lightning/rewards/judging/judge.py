"""A judge: any engine that is asked one fixed question about each of many cases.

It is believed only if its reply can be read.

Fixed prompt, fixed seed, temperature 0; what was asked before is not asked again. A reply that can not be
read is asked for once more, with a reminder, and then it is a `Fault`, as is silence: no verdict is never a
verdict. A judge that is silent many times in a row is given up. What is asked is said by a rubric.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from eva_lightning.agent.worlds.base import World
from eva_lightning.engines.base import Engine, Sampling
from eva_lightning.engines.single_turn import ask, some_at_once, unheard
from eva_lightning.faults import EngineFault, EngineRefusal, Fault, UsageError
from eva_lightning.records import FrameRef
from eva_lightning.rewards.judging.rubric import Case, Reading, Rubric
from eva_lightning.rewards.judging.rulings import Ruling, Rulings, key_of
from eva_lightning.video.decoder import Pixels


class Unreadable(Fault):
    """The judge replied, twice, and not in the form that was asked for."""


@dataclass(kw_only=True)
class Costs:
    """What judging took."""

    asked: int = 0
    """Cases put to the judge."""
    reminded: int = 0
    """Of these, asked a second time because the first reply could not be read."""
    recalled: int = 0
    """Cases answered from memory or file."""
    silent: int = 0
    """Cases without a verdict."""


class Judge:
    """An engine with a rubric."""

    def __init__(
        self,
        engine: Engine,
        rubric: Rubric,
        *,
        world: World | None = None,
        cache: str | None = None,
        max_tokens: int = 256,
        timeout: float = 300.0,
        concurrency: int = 16,
        give_up: int = 32,
        patient: bool = True,
    ) -> None:
        """
        Args:
            engine: Writes the verdicts.
            rubric: What it is asked.
            world: Reads the frames of the cases; None where cases are text.
            cache: JSONL file of verdicts to go on with; None keeps them in memory only.
            max_tokens: Tokens of one reply.
            timeout: Seconds to wait for one reply.
            concurrency: Cases under way at once.
            give_up: Cases in a row without a verdict after which nobody is asked any more.
            patient: False gives it up the first time it is out of reach: where stopping costs nothing.
        """
        if min(max_tokens, concurrency, give_up) < 1 or timeout <= 0:
            raise UsageError(
                f"a judge with max_tokens {max_tokens}, concurrency {concurrency}, give_up {give_up}, "
                f"timeout {timeout:g}: want 1 or more, and more than 0 seconds"
            )
        self.engine, self.rubric, self.world = engine, rubric, world
        self.rulings = Rulings(cache)
        self.sampling = Sampling(temperature=0.0, max_tokens=max_tokens, seed=0)
        self.timeout, self.concurrency, self.give_up = timeout, concurrency, give_up
        self.patient = patient
        self.costs = Costs()
        self._silent_in_a_row = 0
        self._gone: Fault | None = None

    async def rule(
        self, cases: Sequence[Case], progress: Callable[[int], None] = unheard
    ) -> list[Ruling | Fault]:
        """One ruling, or what kept the judge from it, for each case, in order.

        Equal cases are asked once. Raises a Fault if the judge is given up; what it said until then is kept.
        `progress` hears how many more cases are settled, now and then.
        """
        if not cases:
            return []
        try:
            name = await asyncio.to_thread(self.engine.model_name)
        except EngineFault as fault:
            silence: list[Ruling | Fault] = [self._note(fault) for _ in cases]
            self._refuse_if_given_up()
            return silence
        keys = [key_of(case, self.rubric, name or "") for case in cases]
        many = Counter(keys)
        settled: dict[str, Ruling | Fault] = dict(self.rulings.find(keys) if name is not None else {})
        recalled = sum(many[key] for key in settled)
        self.costs.recalled += recalled
        progress(recalled)
        unknown = {key: case for key, case in zip(keys, cases, strict=True) if key not in settled}

        async def rule_on(key: str) -> Ruling | Fault:
            ruling = await self._ruling(key, unknown[key], name)
            progress(many[key])
            return ruling

        asking = [partial(rule_on, key) for key in unknown]
        heard = await some_at_once(self.engine, asking, self.concurrency)
        self._refuse_if_given_up()
        settled |= zip(unknown, heard, strict=True)
        return [settled[key] for key in keys]

    def close(self) -> None:
        """Close the file and give the engine's connections back."""
        self.rulings.close()
        self.engine.close()

    async def _ruling(self, key: str, case: Case, name: str | None) -> Ruling | Fault:
        if self._gone is not None:
            return self._gone
        self.costs.asked += 1
        try:
            reading = await self._reading(case)
        except Fault as fault:
            return self._note(fault)
        self._silent_in_a_row = 0
        ruling = Ruling(
            key=key,
            verdict=reading.word,
            reason=reading.reason,
            judge=name or type(self.engine).__name__,
            rubric=self.rubric.title,
        )
        if name is not None:
            self.rulings.add(ruling)
        return ruling

    def _note(self, fault: Fault) -> Fault:
        """Count a case without a verdict, and give the judge up if that is one too many."""
        self.costs.silent += 1
        self._silent_in_a_row += 1
        gone = isinstance(fault, EngineFault) and not isinstance(fault, EngineRefusal)
        if self._gone is None and gone and not self.patient:
            self._gone = fault
        if self._gone is None and self._silent_in_a_row >= self.give_up:
            self._gone = Fault(
                f"the judge gave no verdict {self.give_up} times in a row; the last time: {fault}"
            )
        return fault

    def _refuse_if_given_up(self) -> None:
        if self._gone is not None:
            raise self._gone

    async def _reading(self, case: Case) -> Reading:
        """What the judge says, asked twice if need be."""
        clips = {clip.id: clip for clip in case.clips}

        def pixels(frame: FrameRef) -> Pixels:
            if self.world is None:
                raise UsageError("this judge has no world to read frames through")
            return self.world.pixels(clips[frame.clip], frame)

        parts = self.rubric.prompt(case)
        said = ""
        for message in (parts, (*parts, self.rubric.reminder)):
            self.costs.reminded += message is not parts
            reply = await ask(
                self.engine, message, pixels, self.sampling, clips=case.clips, timeout=self.timeout
            )
            reading = None if reply.cut else self.rubric.read(reply.text)
            if reading is not None:
                return reading
            said = reply.text
        raise Unreadable(f"the judge's reply could not be read, twice; the second: {said[:120]!r}")
