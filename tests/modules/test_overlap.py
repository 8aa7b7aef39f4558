"""Rollouts made while the trainer learns: which weights, which tasks, which dice; and none is left over."""

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from eva_lightning.callbacks import IterationCheckpoint, RolloutRefresh
from eva_lightning.datamodules import TaskData
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.faults import UsageError
from eva_lightning.objectives.policy_gradient import PolicyGradientSettings
from tests.modules.copied import Copied
from tests.modules.stages import Batches, Coin, Watching, make, trainer


class Told(Watching):
    """Keeps what every iteration learned from, and whether the next rollout was on its way meanwhile."""

    def __init__(self):
        super().__init__()
        self.versions, self.tasks, self.seeds, self.ahead = [], [], [], []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        super().on_before_optimizer_step(trainer, module, optimizer)
        self.ahead.append(bool(module.ahead))

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        super().on_train_batch_end(trainer, module)
        made = module.rollouts
        assert {one.task.id for one in made} == {task.id for task in batch}
        self.versions.append({version for one in made for version in one.weight_versions})
        self.tasks.append([one.task.id for one in made])
        self.seeds.append([one.seed for one in made])


@pytest.fixture
def run(world, tiny_folder):
    """Two epochs of two iterations over four questions; the module and what was told."""

    def fit(overlap=True, engine=Copied, callbacks=(), lr=1e-2, every=1, ckpt_path=None, **settings):
        module = make("grpo", tiny_folder, engine=engine, attempts=2, rewards=[Coin()], lr=lr)
        told = Told()
        refresh = RolloutRefresh(every=every, overlap=overlap)
        made = trainer(callbacks=[refresh, told, *callbacks], **({"max_epochs": 2} | settings))
        data = TaskData(str(world.folder), batch_size=2, eval_tasks=str(world.folder / "tasks.jsonl"))
        made.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
        return module, told

    return fit


def nobody_is_left():
    return not [one for one in threading.enumerate() if one.name == "background"]


def test_from_the_second_iteration_on_trajectories_are_one_iteration_old(run):
    module, told = run()
    assert told.versions == [{0}, {0}, {1}, {2}]
    assert told.ahead == [True, True, True, False]  # nothing is begun that nobody will want
    assert module.engine.taken == [0, 1, 2, 3, 4]  # the last before the evaluation
    on_policy, *stale = told.told("mismatch/max")
    assert on_policy < 1e-4 < min(stale)
    assert told.told("importance/mean")[0] == pytest.approx(1, abs=1e-4)
    assert module.phases.keys() >= {"ahead", "collect", "update"}


def test_where_the_weights_stay_it_is_the_run_without_overlap(run):
    """The same tasks, dice, trajectories and losses: only the seconds differ."""
    (apart, plain), (ahead, overlapped) = run(overlap=False, lr=0.0), run(lr=0.0)
    assert overlapped.tasks == plain.tasks and overlapped.seeds == plain.seeds
    assert [one.turns[0].token_ids for one in ahead.rollouts] == [
        one.turns[0].token_ids for one in apart.rollouts
    ]
    assert overlapped.told("loss") == plain.told("loss") and any(plain.told("grad_norm"))


def test_an_engine_that_is_refreshed_less_often_is_used_for_longer(run):
    _, told = run(every=2)
    assert told.versions == [{0}, {0}, {0}, {2}]  # the third is two behind, and more are refused


def test_an_evaluation_on_the_way_waits_and_has_fresh_weights(run):
    module, told = run(val_check_interval=1)
    assert told.versions == [{0}, {0}, {1}, {2}]
    assert {version for one in module.evaluated for version in one.weight_versions} == {4}
    assert module.engine.taken == [0, 1, 2, 3, 4]


def test_tasks_that_were_added_meanwhile_are_rolled_out_when_they_are_served(run, world):
    class Mining(Watching):
        def on_train_batch_end(self, trainer, module, *_):
            if module.iteration == 1:
                trainer.datamodule.add_tasks([replace(task, id=f"mined-{task.id}") for task in world.tasks])

    _, told = run(callbacks=[Mining()])
    assert any("mined" in one for batch in told.tasks[1:] for one in batch)
    assert 1 in told.versions[1]  # made anew: what was made ahead was of other tasks


class Broken(Copied):
    """Has a bug that shows with the weights of iteration 1."""

    async def write(self, context, sampling):
        if self.policy_version == 1:
            raise RuntimeError("a bug in the background")
        return await super().write(context, sampling)


def test_a_bug_in_the_background_shows_in_the_step_that_wants_the_rollout(run):
    told = Told()
    with pytest.raises(ExceptionGroup) as caught:
        run(engine=Broken, callbacks=[told])
    assert "a bug in the background" in str(caught.value.exceptions)
    assert told.versions == [{0}, {0}]  # iteration 2 was learned from while that of iteration 3 failed
    assert nobody_is_left()


class Slow(Copied):
    """Takes its time over each turn; a second is more than a step takes."""

    async def write(self, context, sampling):
        await asyncio.sleep(60 if self.policy_version else 0)
        return await super().write(context, sampling)


def test_a_run_that_fails_or_stops_does_not_wait_for_a_rollout_that_nobody_wants(run):
    class Failing(Watching):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            if module.iteration == 1:
                raise RuntimeError("in the middle of the second step")

    class Stopping(Watching):
        def on_train_batch_end(self, trainer, module, *_):
            trainer.should_stop = module.iteration == 2

    began = time.monotonic()
    with pytest.raises(RuntimeError, match="second step"):
        run(engine=Slow, callbacks=[Failing()])
    assert nobody_is_left()
    run(engine=Slow, callbacks=[Stopping()], limit_val_batches=0)
    assert nobody_is_left() and time.monotonic() - began < 50


def test_a_resumed_run_makes_its_first_rollout_itself(run, tmp_path):
    saving = {"default_root_dir": tmp_path, "enable_checkpointing": True}
    _, whole = run(callbacks=[IterationCheckpoint(every=1)], **saving, max_steps=2)
    module, rest = run(ckpt_path=tmp_path / "checkpoints/last.ckpt")
    assert whole.versions == [{0}, {0}] and rest.versions == [{2}, {2}]
    assert module.engine.taken == [2, 3, 4]


@pytest.mark.parametrize(
    ("engine", "more", "said"),
    [
        (TransformersEngine, {}, "TransformersEngine writes with the policy's own weights"),
        (Copied, {"objective": PolicyGradientSettings(importance_cap=None)}, "importance_cap is null"),
    ],
)
def test_what_can_not_overlap_is_refused_before_anything_is_written(engine, more, said, world, tiny_folder):
    module = make("grpo", tiny_folder, engine=engine, attempts=2, rewards=[Coin()], **more)
    with pytest.raises(UsageError, match=said):
        trainer(callbacks=[RolloutRefresh(overlap=True)]).fit(module, Batches(list(world.tasks)))


def test_a_stage_without_rollouts_and_a_loader_without_foresight_can_not_overlap(world, taught, tiny_folder):
    with pytest.raises(UsageError, match="SFTModule makes no rollouts"):
        module = make("sft", tiny_folder, engine=Copied)
        trainer(callbacks=[RolloutRefresh(overlap=True)]).fit(module, Batches(taught))
    with pytest.raises(UsageError, match="a batch that is a list does not tell"):
        module = make("grpo", tiny_folder, engine=Copied, attempts=2, rewards=[Coin()])
        trainer(callbacks=[RolloutRefresh(overlap=True)]).fit(module, Batches(*[list(world.tasks)] * 2))
