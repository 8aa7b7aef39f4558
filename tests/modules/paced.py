"""An engine that is a script and holds its turns back until something happened: fast to start, and can be
handed weights while it writes.
"""

import asyncio
import time
from dataclasses import replace

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.engines.base import RefreshedEngine
from eva_lightning.engines.scripted_engine import ScriptedEngine

DIALECT = EvaDialect(timestamps="seconds")
LOOK = DIALECT.call("frame_select", start_time=1, end_time=1, nframes=1, resize=0.25)


async def until(happened):
    """A turn is held back; a minute is more than anything here takes."""
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        await asyncio.sleep(0.001)


async def at_once(batch, place, turn):
    """Nothing is held back."""


class Paced(ScriptedEngine, RefreshedEngine):
    """Answers, after a look if there is room for two turns, when `pace` lets it."""

    refreshed_in_flight = True

    def __init__(self, policy, pace, events):
        super().__init__(self._say, policy.renderer)
        self.pace, self.events, self.under_way = pace, events, 0

    def _say(self, context):
        return DIALECT.reply("blue") if len(context.messages) > 2 else LOOK

    async def write(self, context, sampling):
        batch, turn = context.task_id.split("/")[0], len(context.messages) // 2
        self.events.append(("began", batch, turn))
        await self.pace(batch, context.place, turn)
        said = await super().write(context, sampling)
        self.events.append(("wrote", batch, turn))
        return replace(said, weight_version=self.policy_version)

    def take_weights(self, weights, version):
        self.policy_version = version
        self.events.append(("weights", version))
