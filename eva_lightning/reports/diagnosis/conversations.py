"""Conversations to measure with: noise for frames, fixed words between the turns, and turns by an engine.

No agent and no tools: what is shown does not depend on what was written, so that a policy with random weights
sees frames, too. Nothing is compared here.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eva_lightning.engines.base import Context, Engine, Sampling
from eva_lightning.policy.renderer import Renderer
from eva_lightning.records import PATCH, Clip, FrameRef, Message, Observation, Part, Task, Trajectory, Turn
from eva_lightning.video.decoder import Pixels

SIZES = ((1, 1), (2, 3), (3, 2), (4, 4), (1, 5), (6, 3))
"""Rows and columns of the frames, in visual tokens: the smallest, upright, flat and long ones."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What is shown in a conversation. What is said is up to the policy."""

    name: str
    """Name of the conversation and of its clip."""
    looks: tuple[tuple[FrameRef, ...], ...]
    """Frames shown before each turn: the first ones in the opening, the others as observations."""
    seed: int = 0
    """Dice of its turns."""


def make_probe(name: str, images: int, *, turns: int = 3, seed: int = 0, square: int = PATCH) -> Probe:
    """A conversation of so many turns with so many frames of all sizes, spread over the turns.

    A visual token covers `square` x `square` pixels.

    >>> [len(look) for look in make_probe("a", 4, turns=3).looks]
    [2, 1, 1]
    """
    frames = [
        FrameRef(clip=name, time=float(i), height=square * rows, width=square * columns, square=square)
        for i, (rows, columns) in ((i, SIZES[(i + seed) % len(SIZES)]) for i in range(images))
    ]
    return Probe(name=name, looks=tuple(tuple(frames[i::turns]) for i in range(turns)), seed=seed)


def picture(frame: FrameRef) -> Pixels:
    """The pixels of a frame: noise, always the same for the same frame."""
    dice = np.random.default_rng(zlib.crc32(repr(frame).encode()))
    return dice.integers(0, 256, (frame.height, frame.width, 3), dtype=np.uint8)


def write_probes(
    engine: Engine,
    probes: Sequence[Probe],
    sampling: Sampling,
    *,
    pixels: Callable[[FrameRef], Pixels] = picture,
) -> list[Trajectory]:
    """Let an engine write all conversations at once. Each turn has its own dice, made of the probe's seed."""

    async def everyone() -> list[Trajectory]:
        return await asyncio.gather(
            *(_converse(engine, probe, place, sampling, pixels) for place, probe in enumerate(probes))
        )

    with engine.awake():
        return asyncio.run(everyone())


async def _converse(
    engine: Engine, probe: Probe, place: int, sampling: Sampling, pixels: Callable[[FrameRef], Pixels]
) -> Trajectory:
    renderer = engine.renderer
    if renderer is None:
        raise TypeError(f"{type(engine).__name__} speaks text only: there are no log-probs to measure")
    shown = _shown("The video is 99 seconds long.", probe.looks[0])
    begin = Message(role="user", parts=(*shown, "What now?"))
    record = Trajectory(
        task=Task(id=probe.name, clips=(Clip(id=probe.name),), question="What now?"),
        prompt=(begin,),
        prompt_ids=renderer.opening((begin,)),
        seed=probe.seed,
    )
    with engine.seat():
        await asyncio.sleep(0)  # every conversation is seated before the first one asks
        for number in range(len(probe.looks)):
            if number:
                _observe(record, probe.looks[number], renderer)
            said = await engine.write(
                Context(
                    messages=record.messages,
                    ids=tuple(record.token_ids),
                    pixels=pixels,
                    task_id=probe.name,
                    place=place,
                ),
                replace(sampling, seed=1000 * probe.seed + number),
            )
            record.turns.append(
                Turn(
                    text=said.text,
                    token_ids=list(said.token_ids),
                    logprobs=list(said.logprobs),
                    weight_version=said.weight_version,
                    cut=said.cut,
                )
            )
    return record


def _observe(record: Trajectory, frames: Sequence[FrameRef], renderer: Renderer) -> None:
    """Show what comes after the last turn, whatever it said."""
    last, before = record.turns[-1], record.messages[:-1]
    seen = Message(role="tool", parts=_shown("Look:", frames))
    last.observation = Observation(parts=seen.parts)
    last.observation_ids = renderer.follow(before, seen, cut=last.cut)


def _shown(words: str, frames: Sequence[FrameRef]) -> tuple[Part, ...]:
    labelled = [part for frame in frames for part in (f" Frame at {frame.time:g} seconds: ", frame)]
    return (words, *labelled)
