"""Replay: where a trajectory and the same one made again part first, token by token, frame by frame.

What follows from a first difference is no news. Versions of weights, scores and log-probs are not compared:
log-probs change in their last digits with whoever is written beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.faults import EngineFault
from eva_lightning.records import FrameRef, Message, Observation, Part, Trajectory, Turn

if TYPE_CHECKING:
    from eva_lightning.policy.renderer import Renderer

NOTHING = "nothing"
SHOWN = 40
"""Characters of a text that are shown around the first one that differs."""

Spell = Callable[[int], str]


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Where two trajectories part."""

    where: str
    """The place, counted from 1: "turn 2, token 5"."""
    was: str
    """What the record has there."""
    now: str
    """What came this time."""

    def __str__(self) -> str:
        return f"{self.where}: was {self.was}, now {self.now}"


def divergence(was: Trajectory, now: Trajectory, spell: Spell = lambda token: "") -> Divergence | None:
    """The first difference in the order of the conversation; None where there is none.

    `spell` says what a token id stands for. Ids are compared where both have some.
    """
    return next(_differences(was, now, spell), None)


def logprob_gap(was: Trajectory, now: Trajectory) -> float:
    """How far log-probs of the same tokens are apart, at most."""
    pairs = zip(was.turns, now.turns, strict=False)
    same = [zip(a.logprobs, b.logprobs, strict=True) for a, b in pairs if a.token_ids == b.token_ids]
    return max((abs(a - b) for turn in same for a, b in turn), default=0.0)


def _differences(was: Trajectory, now: Trajectory, spell: Spell) -> Iterator[Divergence]:
    fault = f"a fault: {now.faults[-1]}" if now.stop == "fault" != was.stop else ""
    if not now.prompt and fault:
        yield Divergence(where="opening", was="made", now=fault)
    for mine, other in zip_longest(was.prompt, now.prompt, fillvalue=Message(role="user", parts=())):
        yield from _parts("opening", mine.parts, other.parts)
    if was.prompt_ids and now.prompt_ids:
        yield from _ids("opening", was.prompt_ids, now.prompt_ids, spell)
    for number, (turn, other_turn) in enumerate(zip(was.turns, now.turns, strict=False), start=1):
        yield from _turns(f"turn {number}", turn, other_turn, spell)
    if fault or len(was.turns) != len(now.turns):
        where = f"turn {min(len(was.turns), len(now.turns)) + 1}"
        ends = [
            "it goes on" if len(one.turns) > len(other.turns) else f"it had ended ({one.stop})"
            for one, other in ((was, now), (now, was))
        ]
        yield Divergence(where=where, was=ends[0], now=fault or ends[1])
    for what, mine_is, now_is in (("answer", was.answer, now.answer), ("stop", was.stop, now.stop)):
        if mine_is != now_is:
            yield Divergence(where=what, was=repr(mine_is), now=repr(now_is))


def _turns(where: str, was: Turn, now: Turn, spell: Spell) -> Iterator[Divergence]:
    if was.token_ids and now.token_ids:
        yield from _ids(where, was.token_ids, now.token_ids, spell, was.logprobs, now.logprobs)
    yield from _texts(where, was.text, now.text)
    for what in ("cut", "calls"):
        if getattr(was, what) != getattr(now, what):
            yield Divergence(
                where=f"{where}, {what}", was=_said(getattr(was, what)), now=_said(getattr(now, what))
            )
    yield from _observations(f"{where}, observation", was.observation, now.observation)
    if was.observation_ids and now.observation_ids:
        yield from _ids(f"{where}, observation", was.observation_ids, now.observation_ids, spell)


def _observations(where: str, was: Observation | None, now: Observation | None) -> Iterator[Divergence]:
    if was is None or now is None:
        if was is not now:
            yield Divergence(where=where, was=_short(was), now=_short(now))
        return
    yield from _parts(where, was.parts, now.parts)
    counted = ("worked",) if was.worked is not None else ()  # earlier records do not tell
    for what in ("error", "frames_cut", "spans", *counted):
        if getattr(was, what) != getattr(now, what):
            yield Divergence(
                where=f"{where}, {what}", was=_said(getattr(was, what)), now=_said(getattr(now, what))
            )


def _short(observation: Observation | None) -> str:
    if observation is None:
        return NOTHING
    return f"{len(observation.frames)} frames" if observation.frames else _said(observation.parts)


def _parts(where: str, was: Sequence[Part], now: Sequence[Part]) -> Iterator[Divergence]:
    """Frames before words: where a frame moved, its label did so, too."""
    shown = [[part for part in parts if isinstance(part, FrameRef)] for parts in (was, now)]
    for number, (mine, other) in enumerate(zip_longest(*shown), start=1):
        if mine != other:
            yield Divergence(where=f"{where}, frame {number}", was=_frame(mine), now=_frame(other))
    words = [
        "".join(part if isinstance(part, str) else "\N{REPLACEMENT CHARACTER}" for part in parts)
        for parts in (was, now)
    ]
    yield from _texts(where, *words)


def _frame(frame: FrameRef | None) -> str:
    if frame is None:
        return NOTHING
    proxy = f" of the proxy {frame.proxy}" if frame.proxy else ""
    return f"{frame.clip} at {frame.time:g} s, {frame.width}x{frame.height}{proxy}"


def _first_other(was: Sequence[object], now: Sequence[object]) -> int:
    """The first place at which two rows differ; the length of the shorter one if it begins the other."""
    pairs = enumerate(zip(was, now, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(was), len(now)))


def _texts(where: str, was: str, now: str) -> Iterator[Divergence]:
    if was == now:
        return
    place = _first_other(was, now)
    begin = max(0, place - SHOWN // 2)
    shown = [text[begin : begin + SHOWN] for text in (was, now)]
    yield Divergence(where=f"{where}, character {place + 1}", was=repr(shown[0]), now=repr(shown[1]))


def _ids(
    where: str,
    was: Sequence[int],
    now: Sequence[int],
    spell: Spell,
    *logprobs: Sequence[float],
) -> Iterator[Divergence]:
    if list(was) == list(now):
        return
    place = _first_other(was, now)

    def token(ids: Sequence[int], side: int) -> str:
        if place >= len(ids):
            return NOTHING
        likely = f", log-prob {logprobs[side][place]:g}" if logprobs else ""
        word = spell(ids[place])
        return f"{ids[place]}" + (f" {word!r}" if word else "") + likely

    yield Divergence(where=f"{where}, token {place + 1}", was=token(was, 0), now=token(now, 1))


def _said(value: object) -> str:
    shown = NOTHING if value in (None, ()) else repr(value)
    return shown if len(shown) <= 2 * SHOWN else f"{shown[: 2 * SHOWN]}..."


class RecordedEngine(Engine):
    """Says what records say was said, so that what the world answers can be made again without a model."""

    def __init__(self, records: Sequence[Trajectory], renderer: Renderer | None = None) -> None:
        """
        Args:
            records: One for each trajectory of the rollout, in the order of its jobs.
            renderer: Makes the ids of what is observed; None leaves them out, and lengths are counted in
                characters, four to a token.
        """
        self.records = records
        self.renderer = renderer

    @property
    def square(self) -> int | None:
        """That of the frames which were shown."""
        return next((frame.square for one in self.records for frame in one.frames), None)

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        record = self.records[context.place]
        said = sum(message.role == "assistant" for message in context.messages[len(record.prompt) :])
        if said >= len(record.turns):
            raise EngineFault("the record ends here, and the agent would go on")
        turn = record.turns[said]
        return Utterance(
            text=turn.text,
            token_ids=tuple(turn.token_ids),
            logprobs=tuple(turn.logprobs),
            weight_version=turn.weight_version,
            cut=turn.cut,
        )
