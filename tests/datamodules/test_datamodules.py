"""The DataModules: what they read, what they leave out, what they refuse."""

from dataclasses import replace

import pytest

from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.datamodules import DemonstrationData, FeedbackData, Source, TaskData
from eva_lightning.datamodules.base import InOrder
from eva_lightning.faults import UsageError
from eva_lightning.files.store import write
from eva_lightning.records import Clip, Turn
from tests.making import task, trajectory


def tasks(count, name="t"):
    return [task(id=f"{name}{i}") for i in range(count)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    settings = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    return build_world(tmp_path_factory.mktemp("world"), 2, settings, held_out=1)


def test_a_folder_of_the_embedded_world_is_tasks_to_train_and_held_out_ones_to_evaluate(world):
    data = TaskData(str(world.folder), batch_size=2, eval_tasks=str(world.folder), eval_limit=3)
    data.setup("fit")
    trained = [one for batch in data.train_dataloader() for one in batch]
    assert {one.id for one in trained} == {one.id for one in world.tasks}
    (evaluated,) = list(data.val_dataloader())
    assert [one.id for one in evaluated] == [one.id for one in world.held_out[:3]]
    with open(trained[0].clips[0].path, "rb") as file:
        assert b"ftyp" in file.read(12)


def test_relative_clips_count_from_the_file_or_from_video_root(tmp_path):
    write(tmp_path / "a.jsonl", [task(clips=(Clip(id="v", path="clips/v.mp4"),))])
    paths = []
    for source in (str(tmp_path / "a.jsonl"), Source(path=str(tmp_path / "a.jsonl"), video_root="/data")):
        data = TaskData(source, batch_size=1)
        data.setup("fit")
        paths.append(next(iter(data.train_dataloader()))[0].clips[0].path)
    assert paths == [f"{tmp_path}/clips/v.mp4", "/data/clips/v.mp4"]


def test_only_answered_and_right_trajectories_are_demonstrations(tmp_path):
    long = [Turn(text="look")] * 3
    write(
        tmp_path / "a.jsonl",
        [
            trajectory(task=task(id="good")),
            trajectory(task=task(id="cut"), stop="turn_limit", answer=None),
            trajectory(task=task(id="wrong"), answer="C"),
            trajectory(task=task(id="long"), turns=long),
            trajectory(task=task(id="fat"), frames=200),
        ],
    )

    def kept(**settings):
        data = DemonstrationData(str(tmp_path / "a.jsonl"), batch_size=1, **settings)
        data.setup("fit")
        return sorted(one.task.id for batch in data.train_dataloader() for one in batch)

    assert kept() == ["fat", "good", "long"]
    assert kept(only_correct=False) == ["fat", "good", "long", "wrong"]
    assert kept(max_turns=2, max_tokens=1000) == ["good"]  # 200 frames of six visual tokens are 1200
    with pytest.raises(UsageError, match=r"0 of 5 demonstrations kept .*loosen the filters"):
        kept(max_tokens=1)


def test_feedback_needs_a_mark_on_every_row_and_both_marks(tmp_path):
    good, bad = trajectory(desirable=True), trajectory(task=task(id="t2"), desirable=False)
    write(tmp_path / "f.jsonl", [good, bad, replace(good, replica=1)])
    data = FeedbackData(str(tmp_path / "f.jsonl"), batch_size=2)
    data.setup("fit")
    assert (data.n_desirable, data.n_undesirable) == (2, 1)
    write(tmp_path / "g.jsonl", [good])
    files = [Source(path=str(tmp_path / "f.jsonl"), weight=1.0)]
    files += [Source(path=str(tmp_path / "g.jsonl"), weight=3.0)]
    data = FeedbackData(files, batch_size=2)
    data.setup("fit")  # of four served one comes from f, two thirds of it good, and three from g
    assert (data.n_desirable, data.n_undesirable) == pytest.approx((3 + 2 / 3, 1 / 3))
    write(tmp_path / "f.jsonl", [good, replace(bad, desirable=None)])
    with pytest.raises(UsageError, match=r"attempt 0 at task 't2' is marked neither good nor bad.*eva label"):
        FeedbackData(str(tmp_path / "f.jsonl"), batch_size=2).setup("fit")
    write(tmp_path / "f.jsonl", [good])
    with pytest.raises(UsageError, match="1 good and 0 bad trajectories; KTO needs both"):
        FeedbackData(str(tmp_path / "f.jsonl"), batch_size=1).setup("fit")


def test_what_is_trained_on_is_counted_by_file_shuffled_together_or_not(tmp_path):
    write(tmp_path / "a, b.jsonl", [task(), task(id="t2")])
    write(tmp_path / "c.jsonl", [task(id="t3")])
    for weight in (None, 1.0):
        data = TaskData(
            [Source(path=str(tmp_path / name), weight=weight) for name in ("a, b.jsonl", "c.jsonl")]
        )
        data.setup("fit")
        assert data.counts() == {str(tmp_path / "a, b.jsonl"): 2, str(tmp_path / "c.jsonl"): 1}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "a.jsonl: holds no records"),
        ([replace(task(), answer=None)], "task 't1' has no answer to reward"),
        ([task(), task()], "two tasks have the id 't1'"),
    ],
)
def test_files_that_can_not_be_trained_on_are_refused_by_name(tmp_path, rows, said):
    write(tmp_path / "a.jsonl", rows)
    with pytest.raises(UsageError, match=said):
        TaskData(str(tmp_path / "a.jsonl"), batch_size=1).setup("fit")


def test_a_missing_file_half_a_mixture_and_nothing_to_train_on_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.jsonl: No such file"):
        TaskData("nowhere.jsonl").setup("fit")
    with pytest.raises(UsageError, match="b: has no weight, but other sources have"):
        TaskData([Source(path="a", weight=0.9), "b"])
    with pytest.raises(UsageError, match="nothing to train on"):
        TaskData().setup("fit")
    with pytest.raises(UsageError, match="nothing to test on"):
        TaskData().test_dataloader()


def test_ranks_share_the_evaluation_without_repeating_a_task():
    shares = [list(InOrder(tasks(7), 4, rank, 2)) for rank in (0, 1)]
    assert [[one.id for one in share] for share in shares[0]] == [["t0", "t2"], ["t4", "t6"]]
    assert [[one.id for one in share] for share in shares[1]] == [["t1", "t3"], ["t5"]]


def test_mined_tasks_are_a_part_of_their_own_and_need_names_of_their_own(world):
    data = TaskData(str(world.folder), batch_size=4, eval_tasks=str(world.folder))
    data.setup("fit")
    with pytest.raises(UsageError, match="share of mined tasks is 1; want more than 0"):
        data.expect_mined(1.0)
    data.expect_mined(0.25)
    data.expect_mined(0.25)
    first = next(iter(data.train_dataloader()))
    with pytest.raises(RuntimeError, match="before the first batch"):
        data.expect_mined(0.5)
    with pytest.raises(ValueError, match=f"ids of their own; {first[0].id}"):
        data.add_mined([first[0]])
    data.add_mined(tasks(2, "mined"))
    with pytest.raises(ValueError, match="ids of their own; mined1"):
        data.add_mined(tasks(2, "mined")[1:])
    known = [one.id for one in data.known_tasks()]
    every = [one.id for one in (*world.tasks, *tasks(2, "mined"), *world.held_out)]
    assert sorted(known) == sorted(every)
    second = next(iter(data.train_dataloader()))
    assert sum(one.id.startswith("mined") for one in second) == 1


def test_mined_tasks_that_nobody_expects_are_refused(world):
    data = TaskData(str(world.folder), batch_size=4)
    data.setup("fit")
    with pytest.raises(RuntimeError, match="once they are expected"):
        data.add_mined(tasks(1, "mined"))
    data.train_dataloader()
    with pytest.raises(RuntimeError, match="once they are expected"):
        data.add_mined(tasks(1, "mined"))


def test_an_evaluation_of_nothing_is_refused_and_not_left_out_without_a_word(world):
    with pytest.raises(UsageError, match="eval_limit is 0: want 1 or more"):
        TaskData(str(world.folder), batch_size=2, eval_tasks=str(world.folder), eval_limit=0)
