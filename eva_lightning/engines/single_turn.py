"""A single turn with any engine: a message, a reply, nothing remembered.

Teachers, examiners and judges ask this way; what is asked, and what a reply means, is said by them. The agent
loop is elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.engines.frame_names import frame_names
from eva_lightning.faults import EngineFault
from eva_lightning.files.foreign_json import read_json
from eva_lightning.records import Clip, FrameRef, Message, Part
from eva_lightning.video.decoder import Pixels

T = TypeVar("T")

LIKELIEST = Sampling(temperature=0.0)
"""The same question has the same reply, as far as that is in the engine's hands."""


async def ask(
    engine: Engine,
    parts: Sequence[Part],
    pixels: Callable[[FrameRef], Pixels],
    sampling: Sampling = LIKELIEST,
    *,
    clips: Sequence[Clip] = (),
    timeout: float | None = None,
    place: int = 0,
) -> Utterance:
    """The reply to one message; EngineFault if none comes in time.

    Args:
        engine: Who is asked.
        parts: The message of the user, text and frames.
        pixels: Reads its frames.
        sampling: How the reply is drawn.
        clips: Where its frames are from: engines keep pixels under names that tell files apart.
        timeout: Seconds to wait; None leaves it to the engine.
        place: Of the question among those that are asked together.
    """
    messages = (Message(role="user", parts=tuple(parts)),)
    renderer = engine.renderer
    context = Context(
        messages=messages,
        ids=() if renderer is None else tuple(renderer.opening(messages)),
        pixels=pixels,
        name=frame_names(clips),
        place=place,
    )
    try:
        return await asyncio.wait_for(engine.write(context, sampling), timeout)
    except TimeoutError:
        waited = "in its own time" if timeout is None else f"in {timeout:g} s"
        raise EngineFault(f"{type(engine).__name__} did not reply {waited}") from None


async def some_at_once(
    engine: Engine, asking: Sequence[Callable[[], Coroutine[Any, Any, T]]], concurrency: int
) -> list[T]:
    """What comes of each, in order, `concurrency` of them under way. What one raises ends them all."""
    made: dict[int, T] = {}
    queue = iter(enumerate(asking))

    async def worker(queue: Iterator[tuple[int, Callable[[], Coroutine[Any, Any, T]]]]) -> None:
        with engine.seat():
            await asyncio.sleep(0)  # every worker is seated before the first one asks
            for place, put in queue:
                made[place] = await put()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(asking))):
            group.create_task(worker(queue))
    return [made[place] for place in range(len(asking))]


def caption(number: int, time: float, clip: str | None = None) -> str:
    """The words before a frame in a question; `clip` names its video where there are several.

    Verdicts are kept by these words: another wording asks every judge again.

    >>> caption(0, 2.04), caption(3, 12.5, "video 2")
    ('Frame 0 at 2.0 seconds: ', '\\nFrame 3 of video 2 at 12.5 seconds: ')
    """
    of = "" if clip is None else f" of {clip}"
    return f"{chr(10) if number else ''}Frame {number}{of} at {time:.1f} seconds: "


def json_of(reply: str) -> Any:
    """The JSON that is all of a reply, fenced or not; ValueError says in a line what else it is.

    >>> json_of('```json\\n{"verdict": "right"}\\n```')
    {'verdict': 'right'}
    """
    return read_json(_unfenced(reply.strip()))


def _unfenced(bare: str) -> str:
    """What stands in a fence, if a text is one."""
    if len(bare) < 6 or not (bare.startswith("```") and bare.endswith("```")):
        return bare
    title, line_end, inside = bare[3:-3].partition("\n")
    return inside if line_end and title.strip() in ("", "json") else bare


def unheard(count: int) -> None:
    """Progress that nobody wants to hear of."""
