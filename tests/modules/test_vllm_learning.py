"""GRPO learns the same with vLLM as with the policy's own turns: the same rewards, at about the same pace.

And with two batches under way while weights change.
"""

import time

import pytest
from lightning.pytorch import Callback

from eva_lightning.callbacks import RolloutRefresh
from eva_lightning.datamodules import TaskData
from eva_lightning.engines.vllm.adapter import installed
from tests.modules.letters import Letters, school
from tests.modules.stages import Watching, make, trainer


def vllm(policy):
    from eva_lightning.engines.vllm.engine import VLLMEngine
    from eva_lightning.engines.vllm.settings import VLLMSettings

    return VLLMEngine(policy, VLLMSettings(max_length=2048, batch_tokens=2048, max_frame_tokens=64))


@pytest.mark.parametrize("engine", [None, vllm], ids=["transformers", "vllm"])
def test_grpo_learns_to_write_one_letter(engine, world, tiny_folder):
    """From a twelfth of the letters to a half: the signs around them are worth nothing and stay."""
    if engine is not None and installed() is None:
        pytest.skip("vLLM is not installed: make vllm")
    rewards, told = school(world, tiny_folder, engine)
    assert rewards[0] < 0.15 and min(rewards[-4:]) > 0.45
    assert max(told.told("mismatch/max")) < 1e-3


class Slow(Callback):
    """Lets vLLM write nothing from a rollout to the next weights; notes how many turns are under way then."""

    def __init__(self):
        self.held, self.turns = False, []

    def on_fit_start(self, trainer, module):
        thread, collect = module.engine.thread, module.collect
        step, take = thread.vllm.step, thread.vllm.take

        def then_held(tasks):
            made = collect(tasks)
            self.held = bool(module.ahead)
            return made

        def step_or_wait():
            while self.held and thread._inbox.empty():
                time.sleep(0.001)
            return [] if self.held else step()

        def noted(weights, version):
            self.turns.append(len(thread._turns))
            self.held = False
            take(weights, version)

        module.collect, thread.vllm.step, thread.vllm.take = then_held, step_or_wait, noted


def test_weights_change_under_trajectories_and_none_is_lost_or_too_old(world, tiny_folder):
    """Eight iterations, two batches ahead, four trajectories at once, an evaluation after each iteration."""
    if installed() is None:
        pytest.skip("vLLM is not installed: make vllm")
    more = {"rewards": [Letters()], "engine": vllm, "concurrency": 4}
    module = make("grpo", tiny_folder, lr=4e-3, attempts=8, **more)
    slow, told, oldest = Slow(), Watching(), []

    class Ages(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            made = module.rollouts
            assert [one.task.id for one in made] == [task.id for task in batch for _ in range(8)]
            oldest.append(min(one.weight_versions[0] for one in made))

    data = TaskData(str(world.folder), batch_size=2, eval_tasks=str(world.folder / "tasks.jsonl"))
    refresh = RolloutRefresh(overlap=True, max_staleness=2)
    fitting = trainer(callbacks=[refresh, slow, told, Ages()], max_epochs=4, val_check_interval=1)
    fitting.fit(module, data)
    assert oldest[0] == 0 and all(0 <= number - age <= 2 for number, age in enumerate(oldest))
    assert len(slow.turns) == 9 and sum(turns > 0 for turns in slow.turns) >= 4  # cut off in mid-turn
    assert told.told("faults") == [0] * 8 and max(told.told("staleness/max")) >= 1
    assert {version for one in module.evaluated for version in one.weight_versions} == {8}
