"""What a policy fails at is what it is asked next: real rollouts, real clips, real checkpoints."""

import os
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.rollout import Limits
from eva_lightning.callbacks import FailureMining, IterationCheckpoint, RolloutRefresh, failure_mining
from eva_lightning.data.mining.author import Rejected, TaskAuthor, Written
from eva_lightning.data.mining.teacher_author import TeacherAuthor
from eva_lightning.data.mining.world_author import WorldAuthor
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.teachers import Oracle
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.datamodules import TaskData
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.engines.server_engine import ServerEngine
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.store import read
from eva_lightning.records import Task
from tests.engines.sockets import silent, speaking
from tests.modules.copied import Copied
from tests.modules.stages import Batches, Coin, fit, make, moved, trainer, weights

ROOT = Path(__file__).parent.parent.parent
ROOM = Limits(turns=6, turn_tokens=400, total_tokens=4000)
"""Enough for a teacher's words; the tiny policy has less."""
SMALL = ScriptSettings(duration=(30, 30), height=112, width=112, fps=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Four clips of half a minute: eight questions, four about colours, four about times."""
    return build_world(tmp_path_factory.mktemp("world"), 4, SMALL, families=["colour_at", "when"])


class Told(IterationCheckpoint):
    """Keeps what every iteration asked and what was logged, and a checkpoint of each."""

    def __init__(self):
        super().__init__(every=1, keep=None)
        self.asked, self.logged = [], []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)
        self.asked.append([(one.id, one.source, one.clips[0].path) for one in batch])
        self.logged.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    def mined(self):
        """How many tasks of each iteration were mined."""
        return [sum("/mined/clips/" in path for _, _, path in batch) for batch in self.asked]


def knows_colours(world):
    """An engine that is right about the colours of the world's own clips, and silent about all else."""
    oracle = Oracle(world.scripts, world.tasks, EvaDialect(timestamps="seconds"))

    def author(context):
        known = oracle.tasks.get(context.task_id)
        return oracle(context) if known is not None and known.source == "colour_at" else "Hm."

    return lambda policy: ScriptedEngine(author, policy.renderer)


def run(
    world,
    tiny,
    folder,
    mining,
    *callbacks,
    iterations=6,
    ckpt_path=None,
    data=None,
    limits=None,
    quiet=True,
    **settings,
):
    """GRPO over batches of four of the eight questions, two attempts each; what was told, and the module."""
    told, data = Told(), data or TaskData(str(world.folder), batch_size=4)
    module = make("grpo", tiny, attempts=2, rewards=[Coin()], **settings)
    module.limits = limits or module.limits
    made = trainer(
        max_steps=iterations,
        max_epochs=-1,
        default_root_dir=folder,
        enable_checkpointing=True,
        callbacks=[mining, told, *callbacks],
    )
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore")
        made.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    return told, module


class Scripted(TaskAuthor):
    """Does what a function says; remembers what it was shown."""

    def __init__(self, do):
        self.do, self.shown = do, []

    def write(self, failures, count, seed, progress=None):
        self.shown.append(failures)
        return self.do(failures)


def test_what_failed_is_asked_of_new_clips_in_its_share_of_every_later_batch(world, tiny_folder, tmp_path):
    mining = FailureMining(WorldAuthor(str(world.folder)), every=2, count=6, weight=0.5, delay=1)
    told, _ = run(world, tiny_folder, tmp_path, mining, engine=knows_colours(world), limits=ROOM)
    assert told.mined() == [0, 0, 0, 2, 2, 2]  # asked after the second, joined after the third
    mined = [one for batch in told.asked for one in batch if "/mined/clips/" in one[2]]
    assert {source for _, source, _ in mined} == {"when"}
    written = read(tmp_path / "mined/iteration-000002.jsonl", Task)
    assert len(written) == 6 and {one.extra["mined"] for one in written} == {"no answer"}
    assert written[0].clips[0].path.startswith("clips/") and {one[0] for one in mined[:4]} <= {
        one.id for one in written
    }
    assert read(tmp_path / "mined/iteration-000002.rejected.jsonl", Rejected) == []
    failed = sum(2 for batch in told.asked[:2] for _, source, _ in batch if source == "when")
    assert told.logged[1]["mining/failed/no_answer"] == failed > 0
    assert (told.logged[2]["mining/accepted"], told.logged[2]["mining/rejected"]) == (6, 0)
    assert (tmp_path / "mined/iteration-000004.jsonl").exists()


def test_a_run_stopped_anywhere_goes_on_with_the_same_batches_and_weights(world, tiny_folder, tmp_path):
    def mining():
        return FailureMining(WorldAuthor(settings=SMALL), every=2, count=3, weight=0.25, delay=1)

    whole, module = run(world, tiny_folder, tmp_path, mining(), iterations=5)
    assert whole.mined() == [0, 0, 0, 1, 1]
    of_three_and_four = (tmp_path / "mined/iteration-000004.jsonl").read_bytes()
    for stop in (2, 3):  # with a request under way; with tasks that just joined
        path = tmp_path / f"checkpoints/iteration-{stop:06d}.ckpt"
        again, resumed = run(world, tiny_folder, tmp_path, mining(), iterations=5, ckpt_path=path)
        assert again.asked == whole.asked[stop:]
        assert not moved(weights(module), weights(resumed))
        assert resumed.rollouts == module.rollouts
        assert (tmp_path / "mined/iteration-000004.jsonl").read_bytes() == of_three_and_four


def test_training_goes_on_while_the_author_writes(world, tiny_folder, tmp_path):
    go_on = threading.Event()

    def wait(failures):
        assert go_on.wait(60)
        return Written(tasks=())

    class Release(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            if module.iteration == 4:
                assert mining._work is not None and not mining._work.done
                go_on.set()
                mining._work.wait(60)

    author = Scripted(wait)
    mining = FailureMining(author, every=2, count=3)
    told, _ = run(world, tiny_folder, tmp_path, mining, Release(), iterations=6)
    assert [("mining/accepted" in one) for one in told.logged] == [False] * 4 + [True] * 2
    asked = [{failure.task.id for failure in shown} for shown in author.shown[::2]]  # two tries each
    told = [{name for batch in part for name, _, _ in batch} for part in (told.asked[:2], told.asked[2:5])]
    assert asked == told  # the second request waited for the first


def test_a_request_shows_the_failures_since_the_last_one_or_of_a_window(world, tiny_folder, tmp_path):
    for window, iterations in ((None, {3: (1, 2, 3), 6: (4, 5, 6)}), (2, {3: (2, 3), 6: (5, 6)})):
        author = Scripted(lambda failures: Written())
        mining = FailureMining(author, every=3, window=window, delay=0)
        told, _ = run(world, tiny_folder, tmp_path / str(window), mining, iterations=7)
        for shown, of in zip(author.shown[::2], iterations.values(), strict=True):
            asked = {name for number in of for name, _, _ in told.asked[number - 1]}
            assert {failure.task.id for failure in shown} == asked  # a tiny policy fails at everything


def test_no_failure_no_request(world, tiny_folder, tmp_path):
    oracle = Oracle(world.scripts, world.tasks, EvaDialect(timestamps="seconds"))
    author = Scripted(lambda failures: Written())
    mining = FailureMining(author, every=1, delay=0)
    engine = lambda policy: ScriptedEngine(oracle, policy.renderer)  # noqa: E731
    _, module = run(world, tiny_folder, tmp_path, mining, iterations=3, engine=engine, limits=ROOM)
    assert all(one.stop == "answered" for one in module.rollouts) and author.shown == []


def test_the_pool_never_gets_what_was_not_checked(world, tiny_folder, tmp_path):
    """A teacher that writes garbage, the same again, and what it can not answer itself."""
    good = '{"question": "Which ink?", "answer": "pink ink", "start": 1, "end": 20}'
    replies = iter(["Sorry, I can not.", "```", f"[{good}, {good}]", '[{"question": "What now?"}]'])

    def teacher(context):
        text = context.messages[0].text
        if "failed at these questions" in text:
            return next(replies, "[]")
        return "pink ink" if context.frames and "Which ink?" in text else "no idea"

    videos = build_world(tmp_path / "videos", 1, SMALL, seed=5).folder / "clips"
    opened = build_world(tmp_path / "opened", 1, SMALL, families=["colour_at"], per_family=4, open_share=1.0)
    author = TeacherAuthor(ScriptedEngine(teacher), str(videos), per_reply=2, concurrency=1, frames=2)
    mining = FailureMining(author, every=1, count=8, weight=0.25, delay=0)
    data = TaskData(str(opened.folder), batch_size=2)
    told, _ = run(world, tiny_folder, tmp_path, mining, iterations=2, data=data)
    (one,) = read(tmp_path / "mined/iteration-000001.jsonl", Task)
    assert one.question == "Which ink?"
    rejected = read(tmp_path / "mined/iteration-000001.rejected.jsonl", Rejected)
    counts = {cause: sum(one.cause == cause for one in rejected) for cause in {one.cause for one in rejected}}
    first_try = {"refused": 1, "not JSON": 1, "duplicate": 1, "not a task": 1}
    assert counts == first_try | {"refused": 1 + 4}  # the second try brought empty lists
    assert [one.id for one in data.known_tasks() if "mined" in one.extra] == [one.id]
    logged = {name: value for name, value in told.logged[0].items() if name.startswith("mining/rejected")}
    assert logged == {
        "mining/rejected": 8,
        "mining/rejected/refused": 5,
        "mining/rejected/not_JSON": 1,
        "mining/rejected/duplicate": 1,
        "mining/rejected/not_a_task": 1,
    }


def test_with_rollouts_ahead_tasks_join_one_batch_later_and_nothing_is_made_in_vain(
    world, tiny_folder, tmp_path
):
    mining = FailureMining(WorldAuthor(settings=SMALL), every=2, count=3, weight=0.25, delay=0)
    told, module = run(
        world, tiny_folder, tmp_path, mining, RolloutRefresh(overlap=True), engine=Copied, iterations=5
    )
    assert told.mined() == [0, 0, 0, 1, 1]
    assert module.phases.keys() >= {"ahead"}  # it was what the last iteration learned from


def test_two_ranks_share_their_failures_and_add_the_same_tasks_after_the_same_batch(
    world, tiny_folder, tmp_path
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.callbacks.two_mining_ranks"]
    words += map(str, [tiny_folder, world.folder, tmp_path])
    running = [
        subprocess.Popen(
            words,
            cwd=ROOT,
            env=os.environ
            | shared
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "TORCHELASTIC_RUN_ID": "t"},
            stdout=subprocess.DEVNULL,
            stderr=(tmp_path / f"{rank}.err").open("w"),
        )
        for rank in (0, 1)
    ]
    try:
        for rank, one in enumerate(running):
            assert one.wait(timeout=120) == 0, (tmp_path / f"{rank}.err").read_text()[-2000:]
    finally:
        for one in running:
            one.kill()
    left, right = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert left["pool"] == right["pool"] and left["mining"] == right["mining"]
    added = left["pool"]["train"]["added"]
    joined, mined = added[0][0], {row["id"] for _, _, rows in added for row in rows}
    asked = [a + b for a, b in zip(left["asked"], right["asked"], strict=True)]
    assert [len(mined & set(batch)) for batch in asked] == [0] * joined + [2, 2]
    assert all(len(set(batch)) == 4 for batch in asked)
    failed = {row["task"]["id"] for at, row in left["mining"]["recent"] if at == len(asked)}
    assert failed == set(asked[-1])  # of both ranks: a tiny policy fails at everything
    assert (tmp_path / "mined/iteration-000002.jsonl").exists()


def test_an_author_that_breaks_stops_the_run_and_says_why(world, tiny_folder, tmp_path):
    def broken(failures):
        raise OSError("no space left on device")

    with pytest.raises(Fault, match="the author failed: OSError: no space left .*--ckpt_path last"):
        run(world, tiny_folder, tmp_path, FailureMining(Scripted(broken), every=1, delay=0), iterations=3)


def test_mined_clips_that_are_gone_are_told_when_a_run_goes_on(world, tiny_folder, tmp_path):
    def mining():
        return FailureMining(WorldAuthor(settings=SMALL), every=1, count=1, delay=0)

    run(world, tiny_folder, tmp_path, mining(), iterations=2)
    (clip,) = (tmp_path / "mined/clips").iterdir()
    clip.unlink()
    with pytest.raises(UsageError, match=rf"is gone: put .*{clip.name} back"):
        run(world, tiny_folder, tmp_path, mining(), iterations=3, ckpt_path="last")


def test_where_it_can_not_work_it_is_refused(world, tiny_folder):
    author = WorldAuthor(settings=SMALL)
    for settings, said in (
        ({"every": 0}, "every 0"),
        ({"weight": 1.0}, "weight is 1"),
        ({"delay": -1}, "delay -1"),
    ):
        with pytest.raises(UsageError, match=said):
            FailureMining(author, **settings)
    with pytest.raises(UsageError, match="GRPOModule with TaskData"):
        fit(make("grpo", tiny_folder), [world.tasks[0]], callbacks=[FailureMining(author)])
    alone = trainer(callbacks=[FailureMining(author)])
    alone.validate(make("grpo", tiny_folder), Batches(questions=world.tasks[:1]), verbose=False)


def test_an_author_at_work_when_training_ends_is_left_and_that_is_told(
    world, tiny_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(failure_mining, "PATIENCE", 0.2)
    videos = build_world(tmp_path / "videos", 1, SMALL, seed=5).folder / "clips"
    with speaking(silent) as url, pytest.warns(UserWarning) as told:
        author = TeacherAuthor(ServerEngine(url, "m", timeout=300), str(videos), frames=2)
        mining = FailureMining(author, every=2, count=3)
        run(world, tiny_folder, tmp_path, mining, iterations=3, quiet=False)
        work = [one for one in threading.enumerate() if one.name.startswith(("background", "server-engine"))]
        for one in work:
            one.join(100)  # the teacher would be waited for five minutes
    assert not any(one.is_alive() for one in work)
    (said,) = [str(one.message) for one in told if "FailureMining" in str(one.message)]
    assert "asked after iteration 2, was still at work after 0.2 s and was left" in said
    assert "--ckpt_path last asks again" in said


def test_what_an_author_failed_at_or_wrote_in_vain_is_told_when_training_ends(world, tiny_folder, tmp_path):
    def fail(failures):
        raise ZeroDivisionError("no more ideas")

    for do, words in ((fail, "failed: ZeroDivisionError: no more ideas"), (None, "has 0 new tasks")):
        author = Scripted(do or (lambda failures: Written()))
        mining = FailureMining(author, every=2, delay=9)
        with pytest.warns(UserWarning, match=words):
            run(world, tiny_folder, tmp_path / words[:3], mining, iterations=3, quiet=False)
