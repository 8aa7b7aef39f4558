"""eva collect: attempts at the tasks of a real world, written as they finish, taken up where they stopped."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.commands import collect
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.store import located, portable, read, write
from eva_lightning.records import Answer, Trajectory
from eva_lightning.video.quarantine import LeftOut


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    settings = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    return build_world(tmp_path_factory.mktemp("world"), 1, settings, families=["colour_at", "when"])


def run(world, out, *more):
    collect.main(["--tasks", str(world.folder), "--out", str(out), *more])
    return read(out, Trajectory)


def test_the_oracle_answers_every_attempt_rightly(world, tmp_path, capsys):
    made = run(world, tmp_path / "o.jsonl", "--oracle", "--attempts", "2")
    assert sorted((one.task.id, one.replica) for one in made) == sorted(
        (task.id, replica) for task in world.tasks for replica in (0, 1)
    )
    said = capsys.readouterr().out
    assert "when" in said and "100.0%" in said and "4 trajectories in" in said
    assert "seconds:" in "".join(message.text for message in made[0].messages)  # the embedded world's labels


def test_turns_that_somebody_wrote_are_acted_out_with_what_they_look_at(world, tmp_path):
    look = EvaDialect().call("frame_select", start_time=5, end_time=7, nframes=2)
    tasks = [
        replace(task, extra={**task.extra, "turns": turns})
        for task, turns in zip(
            world.tasks, ([look, "<answer>blue</answer>"], "no call, no answer"), strict=True
        )
    ]
    write(world.folder / "written.jsonl", [portable(one, world.folder) for one in tasks])
    words = ["--tasks", str(world.folder / "written.jsonl"), "--out", str(tmp_path / "o.jsonl")]
    collect.main([*words, "--written", "turns"])
    made = {one.task.id: one for one in read(tmp_path / "o.jsonl", Trajectory)}
    acted, silent = (made[task.id] for task in tasks)
    assert [turn.text for turn in acted.turns] == [look, "<answer>blue</answer>"]
    assert (acted.answer, acted.stop) == ("blue", "answered")
    assert all(5 <= one.time <= 7 for one in acted.frames) and len(acted.frames) == 2
    assert (silent.turns[0].text, silent.stop) == ("no call, no answer", "no_action")
    with pytest.raises(UsageError, match=r"gone is None; want the turns that were written for it"):
        collect.main([*words[:2], "--out", str(tmp_path / "p.jsonl"), "--written", "gone"])


def test_clips_under_the_folder_of_the_output_are_written_relative(world, tmp_path):
    inside = run(world, world.folder / "inside.jsonl", "--oracle")
    outside = run(world, tmp_path / "outside.jsonl", "--oracle")
    assert inside[0].task.clips[0].path.startswith("clips/")
    assert outside[0].task.clips[0].path.startswith("/")


def test_an_interrupted_run_makes_only_what_is_missing_and_retries_faults(world, tmp_path):
    whole = run(world, tmp_path / "whole.jsonl", "--oracle", "--attempts", "2")
    broken = replace(whole[1], stop="fault", faults=["the disk was full"], turns=[], answer=None)
    out = tmp_path / "part.jsonl"
    write(out, [whole[0], broken])
    with out.open("a") as file:
        file.write('{"task":{"id":"torn')  # the writer was killed
    again = run(world, out, "--oracle", "--attempts", "2")
    assert again[0] == whole[0]
    assert len(again) == 4 and all(one.stop == "answered" for one in again)
    before = out.read_bytes()
    run(world, out, "--oracle", "--attempts", "2")
    assert out.read_bytes() == before


def test_a_second_run_on_the_same_file_is_refused_while_the_first_writes(world, tmp_path):
    out = tmp_path / "o.jsonl"
    told = "o.jsonl: another process is writing it .*; wait until it is done, or give another --out"
    with sole_writer(out, "wait"), pytest.raises(UsageError, match=told):
        run(world, out, "--oracle")
    assert len(run(world, out, "--oracle")) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["o.jsonl", "o.settings.json"]


def test_a_file_made_with_other_settings_is_not_gone_on_with(world, tmp_path):
    out = tmp_path / "o.jsonl"
    run(world, out, "--oracle", "--limit", "1")
    with pytest.raises(
        UsageError, match="made with agent.temperature 1.0, and now it is 0.0: give another --out"
    ):
        run(world, out, "--oracle", "--agent.temperature", "0")
    assert len(run(world, out, "--oracle", "--attempts", "2", "--concurrency", "1")) == 4  # more of the same
    out.unlink()  # begun anew
    assert len(run(world, out, "--oracle", "--limit", "1", "--agent.temperature", "0")) == 1


def test_a_file_of_another_seed_is_not_gone_on_with(world, tmp_path):
    run(world, tmp_path / "o.jsonl", "--oracle", "--limit", "1")
    with pytest.raises(UsageError, match="was made with another --seed; give that seed, or another --out"):
        run(world, tmp_path / "o.jsonl", "--oracle", "--seed", "1")


@pytest.mark.parametrize("change", [{"question": "Why?"}, {"answer": Answer(kind="text", value="teal")}])
def test_attempts_at_a_question_that_was_rewritten_are_not_taken_for_attempts_at_it(world, tmp_path, change):
    tasks, out = tmp_path / "tasks.jsonl", tmp_path / "o.jsonl"
    (tmp_path / "scripts.jsonl").write_bytes((world.folder / "scripts.jsonl").read_bytes())
    own = [located(one, world.folder) for one in world.tasks[:1]]
    write(tasks, own)
    words = ["--tasks", str(tasks), "--out", str(out), "--oracle"]
    collect.main(words)
    write(tasks, [replace(own[0], options=(), **change)])
    with pytest.raises(UsageError, match="attempt 0 at task .* when the task had another question or gold"):
        collect.main(words)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--agent.limits.turns=0"], "limits: turns is 0: want 1 or more"),
        (["--agent.overview.frames=-1"], "overview: frames is -1"),
        (["--agent.temperature=-1"], "temperature is -1: want 0 or more"),
        (["--prices.read", "2"], "money is told where both prices are known"),
        (["--out", "tasks.jsonl"], "--out tasks.jsonl would take the place of what is read"),
    ],
)
def test_orders_that_make_no_sense_are_refused(world, tmp_path, monkeypatch, more, said):
    monkeypatch.chdir(world.folder)
    with pytest.raises(UsageError, match=said):
        collect.main(["--tasks", ".", "--out", str(tmp_path / "o.jsonl"), "--oracle", *more])
    assert not (tmp_path / "o.jsonl").exists()


def test_a_tiny_policy_leaves_trajectories_with_token_ids(world, tmp_path, tiny_folder):
    settings = ["--limit", "1", "--agent.limits.turns=2", "--agent.limits.turn_tokens=8"]
    (one,) = run(world, tmp_path / "t.jsonl", "--model", str(tiny_folder), *settings)
    assert one.prompt_ids and one.turns[0].token_ids
    (same,) = run(world, tmp_path / "u.jsonl", "--model", str(tiny_folder), *settings)
    assert same == one


def test_a_run_that_only_meets_faults_says_so(tmp_path, world):
    missing = [replace(t, clips=tuple(replace(c, path="no.mp4") for c in t.clips)) for t in world.tasks]
    write(tmp_path / "tasks.jsonl", missing)
    (tmp_path / "scripts.jsonl").write_bytes((world.folder / "scripts.jsonl").read_bytes())
    with pytest.raises(Fault, match=r"all 2 attempts ended by a fault, the first one: .*no\.mp4"):
        collect.main(["--tasks", str(tmp_path), "--out", str(tmp_path / "o.jsonl"), "--oracle"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "say who answers"),
        (["--oracle", "--model", "x"], "one of them"),
        (["--oracle", "--attempts", "0"], "attempts is 0"),
    ],
)
def test_unclear_orders_are_refused(world, tmp_path, more, said):
    with pytest.raises(UsageError, match=said):
        run(world, tmp_path / "o.jsonl", *more)
    assert not (tmp_path / "o.jsonl").exists()


def test_tasks_without_scripts_have_no_oracle(world, tmp_path):
    write(tmp_path / "tasks.jsonl", world.tasks)
    with pytest.raises(UsageError, match=r"scripts\.jsonl: no such file; --oracle needs a folder of"):
        collect.main(["--tasks", str(tmp_path), "--out", str(tmp_path / "o.jsonl"), "--oracle"])


def test_a_video_that_fails_again_and_again_is_left_out_and_listed(world, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video\n" * 100)
    (tmp_path / "scripts.jsonl").write_bytes((world.folder / "scripts.jsonl").read_bytes())
    whole, other = (located(one, world.folder) for one in world.tasks[:2])
    torn = replace(other, clips=tuple(replace(clip, path=str(broken)) for clip in other.clips))
    write(tmp_path / "tasks.jsonl", [whole, torn])
    for again in (False, True):  # a second run tries again
        words = ["--tasks", str(tmp_path), "--out", str(tmp_path / "o.jsonl"), "--oracle", "--attempts", "5"]
        with pytest.raises(Fault, match="all 5 attempts") if again else nullcontext():
            collect.main([*words, "--concurrency", "1"])
        (row,) = read(tmp_path / "o.quarantine.jsonl", LeftOut)
        assert row.path == str(broken) and row.failures == 3
        printed = capsys.readouterr().out
        assert f"1 video is left out, as {tmp_path / 'o.quarantine.jsonl'} says: replace it" in printed
        assert f"{broken}: can not be read as a video" in printed
    faults = [one.faults[0] for one in read(tmp_path / "o.jsonl", Trajectory) if one.stop == "fault"]
    assert sum("left out since it failed 3 times in a row" in fault for fault in faults) >= 2
