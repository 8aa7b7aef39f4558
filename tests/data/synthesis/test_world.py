"""A world on disk: resumable, split by clip, movable."""

import shutil
from pathlib import Path

import pytest

from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world, load_tasks, load_world
from eva_lightning.faults import UsageError

SMALL = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*.*")
        if path.is_file()
    }


def test_a_world_has_a_clip_for_every_script_and_paths_that_work(tmp_path):
    world = build_world(tmp_path, 3, SMALL, seed=1, held_out=1)
    assert len(world.scripts) == 3
    assert len(list((tmp_path / "clips").iterdir())) == 3
    tasks = [*world.tasks, *world.held_out]
    assert {task.clips[0].id for task in tasks} == {script.id for script in world.scripts}
    with open(tasks[0].clips[0].path, "rb") as file:
        assert b"ftyp" in file.read(12)


def test_no_clip_is_in_both_parts(tmp_path):
    world = build_world(tmp_path, 4, SMALL, seed=1, held_out=2)
    train, held_out = ({task.clips[0].id for task in part} for part in (world.tasks, world.held_out))
    assert len(train) == len(held_out) == 2 and not train & held_out


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    build_world(tmp_path / "a", 2, SMALL, seed=1)
    build_world(tmp_path / "b", 2, SMALL, seed=1)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    build_world(tmp_path / "c", 2, SMALL, seed=2)
    assert not set(files(tmp_path / "a")) & set(files(tmp_path / "c")) - {
        "scripts.jsonl",
        "tasks.jsonl",
        "held_out.jsonl",
        "world.settings.json",
    }


def test_what_is_there_is_not_rendered_again(tmp_path, monkeypatch):
    first = build_world(tmp_path, 3, SMALL, seed=1)
    lost = tmp_path / "clips" / f"{first.scripts[1].id}.mp4"
    lost.unlink()
    rendered, heard = [], []

    def note(script, path):
        rendered.append(script.id)
        path.write_bytes(b"")

    monkeypatch.setattr("eva_lightning.data.synthesis.world.render", note)
    build_world(tmp_path, 3, SMALL, seed=1, progress=lambda *done: heard.append(done))
    assert rendered == [first.scripts[1].id]
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_a_world_of_other_settings_is_left_alone_and_the_same_goes_on(tmp_path):
    build_world(tmp_path, 3, SMALL, seed=1, held_out=1)
    before = files(tmp_path)
    told = "holds a world made with held_out 1 and videos 3, and now it is 0 and 2: give another --out"
    with pytest.raises(UsageError, match=told):
        build_world(tmp_path, 2, SMALL, seed=1)
    longer = ScriptSettings(duration=(60, 90), height=112, width=112, fps=2)
    with pytest.raises(UsageError, match=r"with settings\.duration \[60, 60\], and now it is \[60, 90\]"):
        build_world(tmp_path, 3, longer, seed=1, held_out=1)
    build_world(tmp_path, 3, SMALL, seed=1, held_out=1)
    assert files(tmp_path) == before


def test_a_world_that_does_not_say_its_settings_is_known_by_its_tasks(tmp_path):
    build_world(tmp_path, 2, SMALL, seed=1, held_out=1)
    (tmp_path / "world.settings.json").unlink()
    with pytest.raises(UsageError, match="holds a world made with other settings: give another --out"):
        build_world(tmp_path, 2, SMALL, seed=1)
    assert len(build_world(tmp_path, 2, SMALL, seed=1, held_out=1).held_out) > 0


def test_settings_of_a_world_that_was_not_finished_may_be_changed(tmp_path, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("eva_lightning.data.synthesis.world.write", interrupted)
        build_world(tmp_path, 1, SMALL, seed=1)
    assert len(build_world(tmp_path, 2, SMALL, seed=1).scripts) == 2


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_world_can_be_moved(tmp_path):
    build_world(tmp_path / "old", 2, SMALL, seed=1)
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert all((tmp_path / "new") in task_path(task).parents for task in load_tasks(tmp_path / "new"))
    assert load_world(tmp_path / "new").held_out == ()


def task_path(task):
    path = Path(task.clips[0].path)
    assert path.exists()
    return path


def test_more_held_out_than_there_are_is_refused(tmp_path):
    with pytest.raises(ValueError, match="2 videos with 3 held out"):
        build_world(tmp_path, 2, held_out=3)
