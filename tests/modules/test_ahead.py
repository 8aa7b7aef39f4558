"""Several batches of rollouts under way while older ones are learned from: who waits for whom, by the order
of events, and what is learned from. The engine is a script that holds turns back until something happened.
"""

import asyncio
import threading
import time
from dataclasses import replace

import pytest
import torch

from eva_lightning.agent.rollout import Limits
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.callbacks import IterationCheckpoint, RolloutRefresh
from eva_lightning.datamodules import TaskData
from eva_lightning.datamodules.record_loader import Batch
from eva_lightning.faults import Fault, UsageError
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.reports.diagnosis.agreement import changed
from tests.engines.vllm.tokenwise import logprobs
from tests.modules.copied import Copied
from tests.modules.paced import Paced, at_once, until
from tests.modules.stages import Batches, Coin, Watching, as_they_are, fit, make, trainer, weighed

EACH = 4
"""Trajectories in a batch: two questions, two attempts at each."""


class Noting(Watching):
    """Notes steps and evaluations among the events, and what every iteration learned from."""

    def __init__(self, events):
        super().__init__()
        self.events, self.versions, self.tasks, self.seeds = events, [], [], []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.events.append(("step", module.iteration + 1))

    def on_validation_epoch_end(self, trainer, module):
        versions = {version for one in module.evaluated for version in one.weight_versions}
        self.events.append(("evaluated", module.iteration, versions))

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        super().on_train_batch_end(trainer, module)
        assert [one.task.id for one in module.rollouts] == [task.id for task in batch for _ in range(2)]
        self.versions.append({version for one in module.rollouts for version in one.weight_versions})
        self.tasks.append([one.task.id for one in module.rollouts])
        self.seeds.append([one.seed for one in module.rollouts])


class Foreseen(Batches):
    """Batches that tell what comes after them, and remain what they are."""

    def train_dataloader(self):
        return as_they_are(self.batches)


def batches(world, count):
    """Of two questions each, under names of their own: 1/..., 2/..."""
    lists = [
        [replace(task, id=f"{number}/{task.id}") for task in world.tasks[:2]]
        for number in range(1, count + 1)
    ]
    return [
        Batch(ones, lambda many, place=place: lists[place + 1 : place + 1 + many])
        for place, ones in enumerate(lists)
    ]


@pytest.fixture
def run(world, tiny_folder):
    """Some iterations; what happened and what was told. `pace` is given the events."""

    def fit(
        ahead,
        pace=lambda events: at_once,
        iterations=4,
        callbacks=(),
        data=None,
        ckpt_path=None,
        engine=Paced,
        questions=(),
        **settings,
    ):
        events = []
        module = make(
            "grpo",
            tiny_folder,
            engine=lambda policy: engine(policy, pace(events), events),
            attempts=2,
            rewards=[Coin()],
            concurrency=settings.pop("concurrency", 64),
        )
        module.limits = Limits(turns=2, turn_tokens=200, total_tokens=1536)
        told = Noting(events)
        refresh = RolloutRefresh(overlap=True, max_staleness=ahead)
        made = trainer(callbacks=[refresh, told, *callbacks], **settings)
        data = data or Foreseen(*batches(world, iterations), questions=questions)
        made.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
        assert nobody_is_left()
        return events, told

    return fit


def nobody_is_left():
    return not [one for one in threading.enumerate() if one.name == "background"]


def those(events, *wanted):
    return [event for event in events if event in wanted]


def test_with_two_ahead_a_trajectory_may_take_two_iterations_and_hold_up_none(run):
    """One of batch 3 ends only when two batches were learned from."""

    def held(events):
        async def pace(batch, place, turn):
            if batch == "3" and place == 0 and turn == 1:
                events.append("tail begins")
                await until(lambda: ("step", 2) in events)
                events.append("tail ends")
            elif batch == "1" and ahead == 2:
                await until(lambda: "tail begins" in events)

        return pace

    wanted = ("tail begins", "tail ends", ("step", 1), ("step", 2), ("step", 3))
    ahead = 2
    events, _ = run(ahead, held)
    assert those(events, *wanted) == ["tail begins", ("step", 1), ("step", 2), "tail ends", ("step", 3)]
    ahead = 1
    events, _ = run(ahead, held)
    assert events.index("tail begins") > events.index(("step", 1))  # it was not begun before
    assert those(events, *wanted)[-3:] == [("step", 2), "tail ends", ("step", 3)]


def test_with_two_ahead_the_next_batches_are_written_while_a_tail_holds_an_iteration_up(run):
    """One of batch 2 ends when all of batches 3 and 4 are written; with one ahead none of them is begun."""

    def held(events):
        async def pace(batch, place, turn):
            if batch == "2" and place == 0 and turn == 1:
                both = EACH if ahead == 2 else 0
                await until(lambda: all(events.count(("wrote", one, 2)) == both for one in "34"))
                await until(lambda: ("step", 1) in events)
                events.append("tail ends")

        return pace

    ahead = 2
    events, _ = run(ahead, held)
    tail = events.index("tail ends")
    assert events[:tail].count(("wrote", "3", 2)) == events[:tail].count(("wrote", "4", 2)) == EACH
    assert events.index(("step", 1)) < tail < events.index(("step", 2))
    ahead = 1
    events, _ = run(ahead, held)
    tail = events.index("tail ends")
    assert not [event for event in events[:tail] if event[1:2] in (("3",), ("4",))]


def test_batches_share_the_trajectories_under_way_and_the_older_one_goes_first(run):
    most = []

    def counted(events):
        now = []

        async def pace(batch, place, turn):
            now.append(batch)
            most.append(len(now))
            await asyncio.sleep(0.005)
            now.remove(batch)

        return pace

    events, _ = run(3, counted, concurrency=3)
    assert max(most) == 3
    begun = [
        batch
        for what, batch, turn in (one for one in events if len(one) == 3)
        if what == "began" and turn == 1
    ]
    assert len(begun) == 4 * EACH
    # Of three that have a slot, any may be the first to write; a later batch gets none before an older one.
    overtaken = [sum(other < batch for other in begun[place:]) for place, batch in enumerate(begun)]
    assert max(overtaken) <= 2


def spanning(events):
    """The second turn is written when the batch is wanted; the first one at once."""

    async def pace(batch, place, turn):
        if turn == 2:
            await until(lambda: ("weights", int(batch) - 1) in events)

    return pace


class Patient(Watching):
    """No step is made before all that was begun has its first turn."""

    def __init__(self, ahead):
        super().__init__()
        self.ahead = ahead

    def on_before_optimizer_step(self, trainer, module, optimizer):
        begun = range(1, min(module.iteration + 1 + self.ahead, 5) + 1)
        asyncio.run(
            until(lambda: all(module.engine.events.count(("wrote", f"{b}", 1)) == EACH for b in begun))
        )


def test_trajectories_span_versions_and_none_is_older_than_permitted(run):
    """A batch is begun two iterations before it is wanted, and ends with the weights that are newest then."""
    _, told = run(2, spanning, iterations=5, callbacks=[Patient(2)])
    assert told.versions == [{0}, {0, 1}, {0, 2}, {1, 3}, {2, 4}]
    assert told.told("staleness/max") == told.told("staleness/mean") == [0, 1, 2, 2, 2]
    assert told.told("staleness/spanning") == [0, 1, 1, 1, 1]


def test_one_ahead_is_what_it_was_no_weights_change_under_a_trajectory(run):
    events, told = run(1)
    assert told.versions == [{0}, {0}, {1}, {2}]
    assert told.told("staleness/spanning") == [0] * 4
    for version in (1, 2, 3):  # nothing of the next batch is begun before, nothing of this one is left
        at = events.index(("weights", version))
        assert events[:at].count(("wrote", f"{version + 1}", 2)) == EACH
        assert ("began", f"{version + 2}", 1) not in events[:at]


class Forgotten(Paced):
    """Says of one turn of the last batch that the first weights wrote it."""

    async def write(self, context, sampling):
        said = await super().write(context, sampling)
        return replace(said, weight_version=0) if context.task_id.startswith("4/") else said


def test_a_trajectory_with_one_turn_that_is_too_old_is_refused(run):
    with pytest.raises(Fault, match="iteration 4 would learn .* of iteration 0 wrote, 3 behind, .* is 2"):
        run(2, engine=Forgotten)


def test_an_evaluation_on_the_way_waits_for_no_batch_and_is_by_the_newest_weights(run, world):
    """A trajectory of batch 3 is under way through the first two evaluations."""

    def held(events):
        async def pace(batch, place, turn):
            if batch == "3" and place == 0 and turn == 2:
                events.append("tail begins")
                await until(lambda: ("evaluated", 2, {2}) in events)
                events.append("tail ends")
            elif batch == "1":
                await until(lambda: "tail begins" in events)

        return pace

    questions = [replace(task, id=f"question/{task.id}") for task in world.tasks]
    events, told = run(2, held, questions=questions, val_check_interval=1)
    evaluated = [("evaluated", number, {number}) for number in (1, 2, 3, 4)]
    wanted = ("tail begins", "tail ends", *evaluated)
    assert those(events, *wanted) == ["tail begins", *evaluated[:2], "tail ends", *evaluated[2:]]
    assert told.told("faults") == [0] * 4


def test_a_bug_shows_in_the_iteration_that_wants_the_batch(run):
    told = []

    def broken(events):
        told.append(events)

        async def pace(batch, place, turn):
            if batch == "3":
                events.append("bug")
                raise RuntimeError("a bug in the background")
            await until(lambda: "bug" in events)

        return pace

    with pytest.raises(ExceptionGroup) as caught:
        run(2, broken)
    assert "a bug in the background" in str(caught.value.exceptions)
    assert those(told[0], "bug", ("step", 1), ("step", 2), ("step", 3)).count("bug") >= 1
    assert ("step", 2) in told[0] and ("step", 3) not in told[0] and nobody_is_left()


def test_a_run_that_fails_or_stops_ends_all_that_is_under_way(run):
    class Failing(Watching):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            if module.iteration == 1:
                raise KeyboardInterrupt

    class Stopping(Watching):
        def on_train_batch_end(self, trainer, module, *_):
            trainer.should_stop = module.iteration == 2

    def slow(events):
        async def pace(batch, place, turn):
            await asyncio.sleep(600 if int(batch) > 2 else 0)

        return pace

    began = time.monotonic()
    with pytest.raises(SystemExit):
        run(4, slow, iterations=6, callbacks=[Failing()])
    assert nobody_is_left()
    run(4, slow, iterations=6, callbacks=[Stopping()])
    assert time.monotonic() - began < 300


def test_a_resumed_run_goes_on_with_the_same_tasks_and_dice(run, world, tmp_path):
    """What was under way at the checkpoint, tasks of the next epoch among them, is made again."""

    def data():
        return TaskData(str(world.folder), batch_size=2, eval_tasks=str(world.folder / "tasks.jsonl"))

    two = {"max_epochs": 3, "limit_val_batches": 0}
    _, whole = run(2, data=data(), **two)
    saving = {"default_root_dir": tmp_path, "enable_checkpointing": True}
    _, begun = run(2, data=data(), callbacks=[IterationCheckpoint(every=1)], max_steps=3, **two, **saving)
    events, rest = run(2, data=data(), ckpt_path=tmp_path / "checkpoints/last.ckpt", **two)
    assert len(whole.tasks) == 6 and len(begun.tasks) == 3
    assert begun.tasks + rest.tasks == whole.tasks and begun.seeds + rest.seeds == whole.seeds
    assert rest.versions[0] == {3} and events[0] == ("weights", 3)


def test_tasks_that_were_added_meanwhile_are_rolled_out_when_they_are_served(run, world):
    class Mining(Watching):
        def on_train_batch_end(self, trainer, module, *_):
            if module.iteration == 1:
                trainer.datamodule.add_tasks([replace(task, id=f"mined-{task.id}") for task in world.tasks])

    data = TaskData(str(world.folder), batch_size=2, eval_tasks=str(world.folder / "tasks.jsonl"))
    _, told = run(2, data=data, callbacks=[Mining()], max_epochs=3, limit_val_batches=0)
    assert any("mined" in one for batch in told.tasks[1:] for one in batch)  # Noting compares with the batch


def test_what_can_not_have_several_batches_ahead_is_refused_before_anything_is_written(
    run, world, tiny_folder
):
    with pytest.raises(UsageError, match="2 rollouts ahead, but this Copied can not be handed weights while"):
        run(2, engine=lambda policy, pace, events: Copied(policy))
    with pytest.raises(UsageError, match="every=2 5 rollouts would be made ahead; want 4 at most"):
        RolloutRefresh(overlap=True, every=2, max_staleness=6)
    assert [RolloutRefresh(overlap=True, every=2, max_staleness=one).batches_ahead for one in (2, 3, 5)] == [
        1,
        2,
        4,
    ]
    assert (
        RolloutRefresh(overlap=True).batches_ahead == 1 and RolloutRefresh(max_staleness=3).batches_ahead == 0
    )


def test_each_token_is_weighed_by_the_weights_that_wrote_it(world, taught, tiny_folder):
    """Older weights wrote each first turn, the newest ones each second: those tokens count whole."""
    policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))
    now = [logprobs(policy, one, VideoWorld().reader(one.task.clips)) for one in taught]
    with changed(policy, amount=0.05):
        then = [logprobs(policy, one, VideoWorld().reader(one.task.clips)) for one in taught]
    spanning, expected = [], []
    for one, new, old in zip(weighed(taught), now, then, strict=True):
        first, second = one.turns
        cut = len(first.token_ids)
        turns = [
            replace(first, logprobs=old[:cut].tolist(), weight_version=3),
            replace(second, logprobs=new[cut:].tolist(), weight_version=4),
        ]
        spanning.append(replace(one, turns=turns))
        expected += [(new - old)[:cut].exp().clamp(max=2.0), torch.ones(len(new) - cut)]
    module, told = make("fed", tiny_folder), Watching()
    fit(module, spanning, callbacks=[told])
    weights = torch.cat(expected)
    assert told.told("importance/mean") == [pytest.approx(float(weights.mean()), abs=1e-4)]
    assert told.told("importance/truncated") == [
        pytest.approx(float((weights >= 2).float().mean()), abs=1e-4)
    ]
    assert weights[: len(taught[0].turns[0].token_ids)].std() > 0.01  # the older ones are not 1
