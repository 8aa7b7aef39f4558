"""eva sift: tasks and attempts in, the tasks worth training on out, and why the others are not."""

from dataclasses import replace

import pytest

from eva_lightning.commands import sift
from eva_lightning.data.teaching.filters import Dropped
from eva_lightning.faults import UsageError
from eva_lightning.files.store import read, write
from eva_lightning.records import Clip, Task
from tests.making import task, trajectory

CLIPS = (Clip(id="v", path="clips/v.mp4"),)


@pytest.fixture
def files(tmp_path):
    """Four tasks, solved 4, 2, 0 and 1 times of four; a fault beside; the first and the last but one with
    uniform frames, too."""
    tasks = [task(id=id, clips=CLIPS) for id in "abcd"]
    write(tmp_path / "tasks.jsonl", tasks)
    right = dict(zip("abcd", (4, 2, 0, 1), strict=True))
    attempts = [
        trajectory(task=one, answer="B" if number < right[one.id] else "C", replica=number)
        for one in tasks
        for number in range(4)
    ]
    write(tmp_path / "attempts.jsonl", [*attempts, trajectory(task=tasks[2], stop="fault", replica=4)])
    write(tmp_path / "uniform.jsonl", [trajectory(task=tasks[3]), trajectory(task=tasks[1], answer="C")])
    return tmp_path


def run(files, *more, attempts="attempts.jsonl", out="kept.jsonl"):
    words = ["--tasks", str(files / "tasks.jsonl"), "--attempts", str(files / attempts)]
    sift.main([*words, "--out", str(files / out), *more])
    return read(files / out, Task)


def test_what_some_attempts_solve_is_kept_with_its_rate(files, capsys):
    kept = run(files)
    assert [(one.id, one.extra["solved"], one.clips) for one in kept] == [
        ("b", [2, 4], CLIPS),
        ("d", [1, 4], CLIPS),
    ]
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert said[1:4] == [["kept", "2"], ["all", "right", "1"], ["all", "wrong", "1"]]
    assert ["none", "1", "#" * sift.BAR] in said and ["to", "50%", "1", "#" * sift.BAR] in said
    assert said[-1] == f"2 of 4 tasks kept in {files / 'kept.jsonl'}".split()


def test_attempts_that_were_dropped_count_too(files):
    good = [trajectory(task=task(id="a", clips=CLIPS), replica=number) for number in range(4)]
    write(files / "good.jsonl", good)
    wrong = Dropped(
        cause="wrong", reason="chose C, gold B", trajectory=replace(good[0], answer="C", replica=4)
    )
    write(files / "good.dropped.jsonl", [wrong])
    assert [one.extra["solved"] for one in run(files, attempts="good.jsonl")] == [[4, 5]]


def test_what_uniform_frames_solve_is_dropped_and_gaps_are_told(files, capsys):
    assert [one.id for one in run(files, "--uniform", str(files / "uniform.jsonl"))] == ["b"]
    said = capsys.readouterr().out
    assert "needs no search      1" in said
    assert "2 tasks have no attempt in --uniform, and stay in the race: a, c" in said


def test_too_few_attempts_are_told_and_a_rule_decides(files, capsys):
    several = f"[{files / 'attempts.jsonl'},{files / 'uniform.jsonl'}]"
    words = ["--tasks", str(files / "tasks.jsonl"), "--attempts", several, "--out", str(files / "k.jsonl")]
    sift.main([*words, "--rules.least", "5"])
    assert [one.id for one in read(files / "k.jsonl", Task)] == ["b", "d"]
    assert "2 tasks with fewer than 5 sound attempts were dropped: a, c" in capsys.readouterr().out
    sift.main([*words, "--rules.least", "5", "--rules.keep_few", "true"])
    assert [one.id for one in read(files / "k.jsonl", Task)] == ["a", "b", "c", "d"]
    assert "were kept: a, c" in capsys.readouterr().out


def test_paths_of_clips_are_written_for_the_place_of_the_file(files):
    (files / "sub").mkdir()
    assert run(files, out="sub/kept.jsonl")[0].clips[0].path == str((files / "clips/v.mp4").resolve())


def test_attempts_at_other_tasks_are_told_and_at_other_questions_refused(files, capsys):
    write(files / "more.jsonl", [trajectory(task=task(id="x")), *[trajectory(task=task(id="a"))] * 4])
    with pytest.raises(UsageError, match="none of 4 tasks is left"):
        run(files, attempts="more.jsonl")
    assert (
        "more.jsonl: 1 attempts at tasks that are not in the file are passed over" in capsys.readouterr().out
    )
    write(files / "other.jsonl", [trajectory(task=task(id="a", question="Why?"))])
    with pytest.raises(UsageError, match=r"other\.jsonl: attempt 0 at task 'a' is at another question"):
        run(files, attempts="other.jsonl")
    assert not (files / "kept.jsonl").exists()


def test_sources_have_columns_of_their_own(files, capsys):
    write(files / "tasks.jsonl", [task(id=id, clips=CLIPS, source=id.upper()) for id in "ab"])
    run(files)
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert said[1:4] == [["A", "B", "tasks"], ["kept", "0", "1", "1"], ["all", "right", "1", "0", "1"]]
