"""Parts of an agent that fail by a plan: what a config names in place of the sound ones."""

import asyncio
from itertools import count

from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.faults import EngineFault, VideoError
from tests.system.faults.plan import Plan, dawdle


class FaultyEngine(TransformersEngine):
    """The policy itself, which now and then does not answer, or answers late.

    It writes one turn at a time, so that a turn does not depend on who else was being answered, to the bit.
    """

    def __init__(self, policy, seed: int = 0, log: str = "", fail: float = 0.0, late: float = 0.0) -> None:
        super().__init__(policy, max_batch=1)
        self.plan = Plan(seed, log, fail=fail, late=late)

    async def write(self, context, sampling):
        kind = self.plan.strike("engine", context.task_id, sampling.seed)
        if kind == "fail":
            raise EngineFault(f"the plan: turn {sampling.seed}")
        if kind == "late":
            await asyncio.to_thread(dawdle)
        return await super().write(context, sampling)


class FaultyWorld(VideoWorld):
    """Videos, some looks at which fail, or are late."""

    def __init__(self, seed: int = 0, log: str = "", fail: float = 0.0, late: float = 0.0) -> None:
        super().__init__()
        self.plan = Plan(seed, log, fail=fail, late=late)
        self._looks = count()

    def _decode(self, clip, times, height, width):
        number = next(self._looks)  # every attempt may look at the same
        kind = self.plan.strike("look", number)
        if kind == "fail":
            raise VideoError(f"the plan: look {number} at {clip.id}")
        if kind == "late":
            dawdle()
        return super()._decode(clip, times, height, width)
