"""The loops that bench/rollouts.py holds against each other: ours, and ours with the gates of a usual one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rollout_plan import Plan

from eva_lightning.agent.tools.base import Findings
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.worlds.base import World
from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.engines.vllm.adapter import sampling_words
from eva_lightning.engines.vllm.engine import VLLMEngine
from eva_lightning.records import Clip, ToolCall
from eva_lightning.video.decoder import Pixels


class Planned(Engine):
    """vLLM writes as many tokens as planned, and they are read as what was planned."""

    def __init__(self, vllm: VLLMEngine, plan: Plan) -> None:
        self.vllm, self.plan = vllm, plan
        self.renderer = vllm.renderer

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        turn = self.plan[context.place][turn_number(context)]
        said = await self.vllm.write(context, replace(sampling, max_tokens=turn.tokens))
        return replace(said, text=turn.says)


class InStep(Planned):
    """Makes the loop turn-synchronous: nobody looks before all have written, nobody writes before all have
    looked.
    """

    def __init__(self, vllm: VLLMEngine, plan: Plan) -> None:
        super().__init__(vllm, plan)
        self.gate = asyncio.Barrier(len(plan))

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        await self.gate.wait()
        said = await super().write(context, sampling)
        await self.gate.wait()
        return said


class OneByOne(FrameSelect):
    """The tool of a loop that runs the calls of a turn one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def run(self, call: ToolCall, clips: Sequence[Clip], world: World, room: int) -> Findings:
        async with self.lock:
            return await super().run(call, clips, world, room)


SIDES: dict[str, tuple[type[Planned], type[FrameSelect]]] = {
    "ours": (Planned, FrameSelect),
    "turnwise": (InStep, OneByOne),
    "pooled": (InStep, FrameSelect),
}


@dataclass(frozen=True)
class Request:
    """A turn as vLLM is asked for it."""

    ids: tuple[int, ...]
    pixels: list[Pixels]
    names: list[str]
    words: dict[str, Any]


class Noting(Planned):
    """Also keeps what vLLM was asked for."""

    def __init__(self, vllm: VLLMEngine, plan: Plan) -> None:
        super().__init__(vllm, plan)
        self.asked: dict[tuple[int, int], Request] = {}

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        place, number = context.place, turn_number(context)
        planned = replace(sampling, max_tokens=self.plan[place][number].tokens)
        self.asked[place, number] = Request(
            ids=context.ids,
            pixels=[context.pixels(frame) for frame in context.frames],
            names=[context.name(frame) for frame in context.frames],
            words=sampling_words(planned, self.renderer.banned_ids, self.renderer.end_ids, {}),
        )
        return await super().write(context, sampling)


def turn_number(context: Context) -> int:
    return sum(message.role == "assistant" for message in context.messages)
