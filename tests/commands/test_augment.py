"""eva augment: trajectories that failed in, new tasks out, and what became of the rest."""

import json
import os
import signal

import pytest

from eva_lightning.commands import augment
from eva_lightning.data.mining.author import Rejected
from eva_lightning.data.synthesis.render import render
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world, load_tasks
from eva_lightning.faults import UsageError
from eva_lightning.files.store import portable, read, write
from eva_lightning.records import Task
from tests.engines.test_server_engine import says, serving
from tests.making import task, trajectory

SMALL = ScriptSettings(duration=(30, 30), height=112, width=112, fps=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"), 2, SMALL, families=["shape_at"], per_family=2)


def collected(world, folder):
    """Two attempts at every task: one is wrong, the other was ended by a fault."""
    rows = [trajectory(task=portable(one, folder), answer="?", replica=0) for one in world.tasks]
    write(folder / "a.jsonl", [*rows, *(trajectory(task=one.task, stop="fault") for one in rows)])
    return str(folder / "a.jsonl")


def test_new_tasks_of_the_world_lie_beside_their_clips_and_both_tables_add_up(world, tmp_path, capsys):
    out = tmp_path / "new" / "tasks.jsonl"
    given = ["--trajectories", collected(world, tmp_path), "--out", str(out)]
    augment.main([*given, "--world", str(world.folder), "--count", "5"])
    rows = read(out, Task)
    assert len(rows) == 5 and {one.source for one in rows} == {"shape_at"}
    for one in load_tasks(out.parent, out.name):
        assert one.clips[0].path.startswith(f"{out.parent}/clips/")
        with open(one.clips[0].path, "rb") as file:
            assert b"ftyp" in file.read(12)
    assert read(tmp_path / "new" / "tasks.rejected.jsonl", Rejected) == []
    said = capsys.readouterr().out
    failed = [line.split() for line in said.splitlines() if line.startswith("shape_at")]
    assert sum(int(words[-2]) for words in failed) == len(world.tasks)  # faults are ours
    assert [line.split() for line in said.splitlines()[-2:]] == [
        ["accepted", "5"],
        ["5", "new", "tasks", "in", *f"{out}; 0 rejected".split()],
    ]


def test_a_server_writes_about_a_folder_of_videos_and_what_it_spoils_is_counted(world, tmp_path, capsys):
    good = {"question": "Which ink?", "answer": "pink", "start": 1.0, "end": 30.0}

    def teacher(number, body):
        content = body["messages"][0]["content"]
        if isinstance(content, str):
            return says("no idea")
        ordered = "failed at these questions" in content[0]["text"]
        return says(json.dumps([good, {"question": "What?"}]) if ordered else "pink")

    videos = build_world(tmp_path / "videos", 1, SMALL, seed=3).folder / "clips"
    write(tmp_path / "a.jsonl", [trajectory(task=task(kind="text", value="blue"), answer="red")])
    with serving(teacher) as (url, _):
        given = ["--trajectories", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "new.jsonl")]
        augment.main([*given, "--server", url, "--videos", str(videos), "--count", "2"])
    (one,) = read(tmp_path / "new.jsonl", Task)
    assert (one.question, one.answer.value) == ("Which ink?", "pink")
    causes = [one.cause for one in read(tmp_path / "new.rejected.jsonl", Rejected)]
    assert causes == ["not a task", "surplus", "duplicate"]  # the second try was for one task
    said = capsys.readouterr().out
    assert "1 new tasks in" in said and "for example: want an object of answer, end, question, start" in said


@pytest.mark.parametrize(
    "name", ["a.jsonl", "tasks.jsonl", "held_out.jsonl", "scripts.jsonl", "pool.jsonl", "old.jsonl"]
)
def test_no_file_that_is_there_is_written_over(name, world, tmp_path):
    own = build_world(tmp_path, 2, SMALL, families=["shape_at"], per_family=2, held_out=1)
    for file in ("pool.jsonl", "old.jsonl"):
        write(tmp_path / file, [portable(one, tmp_path) for one in own.tasks])
    collected(own, tmp_path)
    before = (tmp_path / name).read_bytes()
    said = "is there already; name another" if name == "old.jsonl" else "would take the place of what is read"
    words = [
        "--trajectories",
        str(tmp_path / "a.jsonl"),
        "--pool",
        f"[{tmp_path}/pool.jsonl]",
        "--count",
        "1",
    ]
    with pytest.raises(UsageError, match=f"--out .*{name}:? {said}"):
        augment.main([*words, "--world", str(tmp_path), "--out", str(tmp_path / name)])
    assert (tmp_path / name).read_bytes() == before


def test_where_no_task_is_accepted_none_is_written_and_the_reasons_are(world, tmp_path):
    videos = build_world(tmp_path / "videos", 1, SMALL, seed=3).folder / "clips"
    write(tmp_path / "a.jsonl", [trajectory(task=task(kind="text", value="blue"), answer="red")])
    out = tmp_path / "new.jsonl"
    with (
        serving(lambda number, body: says("no idea")) as (url, _),
        pytest.raises(UsageError, match=r"accepted \(2 not JSON\).*new.jsonl is not written.*new.rejected"),
    ):
        given = ["--trajectories", str(tmp_path / "a.jsonl"), "--out", str(out), "--count", "1"]
        augment.main([*given, "--server", url, "--videos", str(videos)])
    assert not out.exists() and len(read(tmp_path / "new.rejected.jsonl", Rejected)) == 2


def test_after_ctrl_c_the_tasks_written_so_far_are_kept(world, tmp_path, monkeypatch, capsys):
    rendered = []

    def render_two(script, path):
        render(script, path)
        rendered.append(path)
        if len(rendered) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("eva_lightning.data.mining.world_author.render", render_two)
    out, before = tmp_path / "new.jsonl", signal.getsignal(signal.SIGINT)
    given = ["--trajectories", collected(world, tmp_path), "--out", str(out), "--count", "100"]
    with pytest.raises(KeyboardInterrupt):
        augment.main([*given, "--world", str(world.folder)])
    assert len(rendered) == 2 and {one.clips[0].path for one in load_tasks(tmp_path, out.name)} == set(
        map(str, rendered)
    )
    assert "Ctrl-C once more drops it" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--world FOLDER, or --server URL with --videos"),
        (["--server", "http://localhost:1"], "--world FOLDER, or --server URL with --videos"),
        (["--world", "w", "--videos", "v"], "--world FOLDER, or --server URL with --videos"),
        (["--world", "w", "--count", "0"], "count is 0"),
        (["--world", "w", "--concurrency", "0"], "concurrency is 0: want 1 or more"),
        (["--world", "w", "--timeout=-1"], "timeout is -1: want more than 0 seconds"),
        (["--world", "w"], "none of 1 trajectories failed"),
    ],
)
def test_what_can_not_be_done_is_refused_in_a_line(words, said, tmp_path):
    write(tmp_path / "a.jsonl", [trajectory()])
    with pytest.raises(UsageError, match=said):
        augment.main(
            ["--trajectories", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "n.jsonl"), *words]
        )
