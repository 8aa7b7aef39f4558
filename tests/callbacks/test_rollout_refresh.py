"""Weights reach the engine when they should: told by what it wrote, and by what the trainer thinks of it."""

import pytest
from lightning.pytorch import Callback

from eva_lightning.callbacks import IterationCheckpoint, RolloutRefresh
from eva_lightning.callbacks.collapse_guard import restore
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.datamodules.base import InOrder
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.faults import Fault, UsageError
from eva_lightning.rewards.base import Reward
from tests.modules.copied import Copied, Deaf, Forgetful
from tests.modules.stages import Batches, Coin, Watching, fit, make, teach, trainer

AGREE = 1e-4
"""How far apart trainer and engine may be about the same token under the same weights."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A clip of half a minute, 112 x 112, and two questions about it."""
    settings = ScriptSettings(duration=(30, 30), height=112, width=112, fps=2)
    return build_world(tmp_path_factory.mktemp("world"), 1, settings, families=["colour_at", "when"])


class Told(Watching):
    """Keeps the versions of the weights that wrote each iteration as well."""

    def __init__(self):
        super().__init__()
        self.versions = []

    def on_train_batch_end(self, trainer, module, *_):
        super().on_train_batch_end(trainer, module)
        self.versions.append({version for one in module.rollouts for version in one.weight_versions})


def grpo(folder, engine=Copied, **more):
    return make("grpo", folder, engine=engine, attempts=2, **({"rewards": [Coin()]} | more))


def train(world, module, refresh, iterations=3, **settings):
    """What was watched in a fit over so many batches of all questions."""
    told = Told()
    callbacks = [*([] if refresh is None else [refresh]), told, *settings.pop("callbacks", [])]
    fit(module, *[list(world.tasks)] * iterations, callbacks=callbacks, **settings)
    return told


@pytest.mark.parametrize("lora", [None, True])
def test_every_iteration_is_written_by_the_weights_it_begins_with(lora, world, tiny_folder):
    module = grpo(tiny_folder, lora=lora, lr=1e-2)
    told = train(world, module, RolloutRefresh())
    assert module.engine.taken == [0, 1, 2] and told.versions == [{0}, {1}, {2}]
    assert max(told.told("mismatch/max")) < AGREE


def test_every_second_iteration_is_written_by_weights_that_are_one_older(world, tiny_folder):
    module = grpo(tiny_folder, lr=1e-2)
    told = train(world, module, RolloutRefresh(every=2), iterations=5)
    assert module.engine.taken == [0, 2, 4]
    assert told.versions == [{0}, {0}, {2}, {2}, {4}]
    assert [one < AGREE for one in told.told("mismatch/max")] == [True, False, True, False, True]


@pytest.mark.parametrize("lora", [None, True])
def test_vllm_writes_with_the_weights_it_was_handed(lora, world, tiny_folder):
    pytest.importorskip("vllm", reason="vLLM is not installed")
    from eva_lightning.engines.vllm.engine import VLLMEngine
    from eva_lightning.engines.vllm.settings import VLLMSettings

    small = VLLMSettings(max_length=2048, batch_tokens=2048, max_frame_tokens=64)
    module = grpo(tiny_folder, lambda policy: VLLMEngine(policy, small), lora=lora, lr=1e-2)
    told = train(world, module, RolloutRefresh(every=2), iterations=3)
    assert told.versions == [{0}, {0}, {2}]
    assert [one < 1e-3 for one in told.told("mismatch/max")] == [True, False, True]


def test_an_evaluation_judges_the_policy_as_it_is_now(world, tiny_folder):
    module = grpo(tiny_folder)
    train(
        world, module, RolloutRefresh(every=9, max_staleness=9), questions=world.tasks, val_check_interval=1
    )
    assert module.engine.taken == [0, 1, 2, 3]  # before the first rollout, then before each evaluation
    assert {version for one in module.evaluated for version in one.weight_versions} == {3}
    alone = trainer(callbacks=[RolloutRefresh()])
    alone.validate(module, Batches(questions=world.tasks), verbose=False)
    assert module.engine.taken == [3]  # a new engine: it begins with the checkpoint's weights


def test_where_rollouts_are_not_learned_from_only_evaluations_want_weights(world, tiny_folder):
    module = make("sft", tiny_folder, engine=Copied)
    taught = teach(world, tiny_folder, count=2)
    fit(module, taught, taught, questions=world.tasks, callbacks=[RolloutRefresh()])
    assert module.engine.taken == [2]


def test_the_sanity_check_has_fresh_weights_too(world, tiny_folder):
    module = grpo(tiny_folder)
    train(world, module, RolloutRefresh(), iterations=1, questions=world.tasks, num_sanity_val_steps=1)
    assert module.engine.taken == [0, 1]


def test_a_resumed_run_hands_its_weights_over_first(world, tiny_folder, tmp_path):
    saving = {"default_root_dir": tmp_path, "enable_checkpointing": True}
    train(world, grpo(tiny_folder), RolloutRefresh(), 2, callbacks=[IterationCheckpoint()], **saving)
    module = grpo(tiny_folder)
    told = Told()
    again = trainer(max_epochs=2, callbacks=[RolloutRefresh(), told])
    again.fit(module, Batches(*[list(world.tasks)] * 2), ckpt_path=tmp_path / "checkpoints/last.ckpt")
    assert module.engine.taken == [2, 3] and told.versions == [{2}, {3}]
    assert max(told.told("mismatch/max")) < AGREE


class GoingBack(Callback):
    """After the second iteration the weights are those of the first again."""

    def on_train_batch_end(self, trainer, module, *_):
        if module.iteration == 2:
            (keeper,) = trainer.checkpoint_callbacks
            restore(trainer, module, keeper.path_of(trainer, 1))


def test_weights_that_were_read_back_reach_the_engine_before_it_writes_again(world, tiny_folder, tmp_path):
    """Though what it has is not older than permitted: nobody wants those weights any more."""
    module = grpo(tiny_folder, lr=1e-2)
    back = [IterationCheckpoint(every=1, keep=None), GoingBack()]
    saving = {"default_root_dir": tmp_path, "enable_checkpointing": True}
    told = train(world, module, RolloutRefresh(every=9), 4, callbacks=back, **saving)
    assert module.engine.taken == [0, 2] and told.versions == [{0}, {0}, {2}, {2}]
    assert told.told("mismatch/max")[2] < AGREE


class Asking(Reward):
    """Asks the engine, as a judge does; Forgetful refuses if it sleeps."""

    name = "asking"

    def equip(self, engine, dialect, world):
        self.engine = engine

    async def scores(self, trajectories):
        assert self.engine.awakened
        return [self.give(float(one.replica), "a judge was there") for one in trajectories]


def test_an_engine_that_sleeps_is_handed_weights_before_every_rollout(world, tiny_folder):
    module = grpo(tiny_folder, Forgetful, rewards=[Asking()])
    data = Batches(list(world.tasks), list(world.tasks))
    data.val_dataloader = lambda: InOrder(world.tasks, 1)
    trainer(callbacks=[RolloutRefresh()], val_check_interval=1).fit(module, data)
    assert module.engine.taken == [0, 1, 1, 1, 2, 2]  # learn, then both questions one by one, and again


def test_weights_that_did_not_arrive_stop_the_run(world, tiny_folder):
    with pytest.raises(Fault, match=r"iteration 2 .* weights of iteration 0 wrote, 1 behind.*last"):
        train(world, grpo(tiny_folder, Deaf), RolloutRefresh())


def test_an_engine_that_nobody_refreshes_is_refused_before_it_writes(world, tiny_folder):
    with pytest.raises(UsageError, match="Copied writes with a copy .* RolloutRefresh"):
        train(world, grpo(tiny_folder), None)
    with pytest.raises(UsageError, match="RolloutRefresh"):
        trainer().validate(grpo(tiny_folder), Batches(questions=world.tasks))


def test_it_does_nothing_where_the_policy_itself_writes(world, tiny_folder):
    told = train(world, grpo(tiny_folder, TransformersEngine), RolloutRefresh(every=3))
    assert told.versions == [{0}, {1}, {2}]
    assert max(told.told("mismatch/max")) < AGREE


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"every": 0}, "every is 0"),
        ({"every": 4, "max_staleness": 2}, "up to 3 iterations old"),
        ({"overlap": True, "max_staleness": 0}, "up to 1 iterations old"),
    ],
)
def test_settings_that_can_not_work_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        RolloutRefresh(**settings)
