"""GRPO with real rollouts of a policy that knows nothing; a coin decides what is worth something."""

from dataclasses import replace

import pytest

from eva_lightning.faults import Fault
from eva_lightning.rewards.completeness import CompletenessReward
from tests.modules.stages import Batches as Data
from tests.modules.stages import Coin, Watching, fit, make, marked, moved, trainer, weights


class Failing(Coin):
    """The judge is dead for the first attempt at each question."""

    def score(self, trajectory):
        if trajectory.replica == 0:
            raise Fault("the judge does not answer")
        return super().score(trajectory)


def run(world, folder, *, batches=1, **settings):
    """Iterations over all four questions; the module, what was watched, and the trainer."""
    settings = {"attempts": 4, "rewards": [Coin()]} | settings
    module, watching = make("grpo", folder, **settings), Watching()
    made = fit(module, *[list(world.tasks)] * batches, callbacks=[watching])
    return module, watching, made


def test_one_step_an_iteration_is_on_policy(world, tiny_folder):
    _, watching, made = run(world, tiny_folder, batches=2)
    assert watching.told("ratio/mean") == [1, 1] and watching.told("ratio/max") == [1, 1]
    assert watching.told("kl/old") == [0, 0]
    assert len(watching.gradients) == made.global_step == 2


def test_trainer_and_engine_agree_on_what_was_sampled(world, tiny_folder):
    _, watching, _ = run(world, tiny_folder, batches=2, temperature=0.7)
    assert max(watching.told("mismatch/max")) < 1e-4


def test_two_mini_batches_are_two_steps_and_only_the_second_is_off_policy(world, tiny_folder):
    module, watching, made = run(world, tiny_folder, mini_batches=2)
    assert len(watching.gradients) == made.global_step == 2 and module.iteration == 1
    assert watching.told("updates") == [2]
    assert watching.told("ratio/max")[0] > 1.0001


def test_no_step_is_made_on_nothing(world, tiny_folder):
    """One question with two attempts is two trajectories: two steps, though four mini-batches were asked."""
    coin = Coin(world.tasks[0].clips[0].id)
    module, watching = make("grpo", tiny_folder, attempts=2, mini_batches=4, rewards=[coin]), Watching()
    made = fit(module, [world.tasks[0], world.tasks[2]], callbacks=[watching])
    assert made.global_step == 2 and watching.told("updates") == [2]


@pytest.mark.parametrize("mini_batches", [1, 2])
def test_what_a_fault_ended_is_not_trained_on(mini_batches, world, tiny_folder, monkeypatch):
    broken = replace(world.tasks[0], id="broken", clips=(replace(world.tasks[0].clips[0], path="no.mp4"),))
    module = make("grpo", tiny_folder, attempts=3, rewards=[Failing()], mini_batches=mini_batches)
    watching, trained = Watching(), []
    step = module.step
    monkeypatch.setattr(module, "step", lambda mine, loss_of: trained.extend(mine) or step(mine, loss_of))
    fit(module, [broken, *world.tasks[:2]], callbacks=[watching])
    assert sorted((one.task.id, one.replica) for one in trained) == sorted(
        (task.id, replica) for task in world.tasks[:2] for replica in (1, 2)
    )
    assert watching.told("faults") == [3 + 2] and watching.told("groups_too_small") == [1]
    assert watching.told("reward") == [0.5]  # of replicas 1 and 2 the first is worth 1


def test_an_iteration_in_which_everything_failed_stops_the_run_and_says_why(world, tiny_folder):
    broken = replace(world.tasks[0], id="broken", clips=(replace(world.tasks[0].clips[0], path="no.mp4"),))
    with pytest.raises(Fault, match="all 4 trajectories of iteration 1.*no.mp4.*--ckpt_path last"):
        fit(make("grpo", tiny_folder, attempts=4, rewards=[Coin()]), [broken])


def test_a_seed_gives_its_rollouts_and_its_weights(world, tiny_folder):
    first, again, other = (run(world, tiny_folder, batches=2, seed=seed) for seed in (0, 0, 1))
    assert first[0].rollouts == again[0].rollouts != other[0].rollouts
    assert first[1].metrics == again[1].metrics
    assert not moved(weights(first[0]), weights(again[0]))


def test_iterations_have_different_dice(world, tiny_folder):
    module, made = make("grpo", tiny_folder, lr=0.0, attempts=2, rewards=[Coin()]), []

    class Keeping(Watching):
        def on_train_batch_end(self, trainer, module, *_):
            made.append([turn.token_ids for one in module.rollouts for turn in one.turns])

    fit(module, *[list(world.tasks[:1])] * 2, callbacks=[Keeping()])
    assert made[0] != made[1] and made[0][0] != made[0][1]


def test_all_stages_evaluate_under_the_same_names(world, taught, tiny_folder):
    batches = {"sft": taught, "kto": marked(taught), "grpo": list(world.tasks)}
    names, values = [], []
    for stage, batch in batches.items():
        more = {"attempts": 2, "rewards": [Coin()]} if stage == "grpo" else {}
        module = make(stage, tiny_folder, lr=0.0, **more)
        fitted = fit(module, batch, questions=world.tasks)
        tested = trainer()
        tested.test(module, Data(questions=world.tasks), verbose=False)
        for made in (fitted, tested):
            found = {
                name: float(value) for name, value in made.callback_metrics.items() if name[:5] == "eval/"
            }
            names.append(sorted(found))
            values.append(found)
    assert all(one == names[0] for one in names)
    assert {"eval/accuracy", "eval/frames", "eval/rounds", "eval/accuracy/when"} <= set(names[0])
    assert all(one == values[0] for one in values)  # nothing was learned: the same weights, the same answers


def test_rewards_judge_with_the_policy_as_it_is_now(world, tiny_folder):
    reward = CompletenessReward()
    module, _, _ = run(world, tiny_folder, batches=2, rewards=[Coin(), reward])
    assert reward.judge is module.engine
    # The second iteration acts after one update.
    assert {one.weight_versions for one in module.rollouts} == {(1,)}
