"""Frames of real videos as image files: the right pixels, each once; rows that other trainers can read."""

import json
import os
from dataclasses import replace

import datasets
import numpy as np
import pytest
from PIL import Image
from trl.data_utils import prepare_multimodal_messages

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.cli import main
from eva_lightning.commands.convert import convert
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.teachers import Oracle
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.faults import UsageError
from eva_lightning.files.store import portable, read, write
from eva_lightning.records import Trajectory


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A world of two clips and what its oracle did in it, marked in turn good and bad."""
    folder = tmp_path_factory.mktemp("world")
    small = ScriptSettings(duration=(30, 30), height=112, width=112, fps=2)
    files = build_world(folder, 2, small, families=["colour_at", "when"], per_family=2)
    dialect = EvaDialect(timestamps="seconds")
    made = teach("oracle", Oracle(files.scripts, files.tasks, dialect), files.tasks, 1, dialect, 0)
    rows = [
        replace(one, task=portable(one.task, folder), desirable=bool(i % 2)) for i, one in enumerate(made)
    ]
    write(folder / "t.jsonl", rows)
    return folder


def export(folder, form, *words):
    out = folder / f"{form}.jsonl"
    given = [
        "--rows",
        str(folder / "t.jsonl"),
        "--out",
        str(out),
        "--to",
        form,
        "--images",
        str(folder / "frames"),
    ]
    assert main(["convert", *given, *words]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_every_image_is_its_frame_to_the_last_pixel(folder):
    rows = export(folder, "sharegpt")
    made = read(folder / "t.jsonl", Trajectory)
    world, count = VideoWorld(), 0
    for row, one in zip(rows, made, strict=True):
        clips = {clip.id: replace(clip, path=str(folder / clip.path)) for clip in one.task.clips}
        assert len(row["images"]) == len(one.frames)
        for name, frame in zip(row["images"], one.frames, strict=True):
            with Image.open(folder / name) as image:
                assert (np.asarray(image) == world.pixels(clips[frame.clip], frame)).all()
            count += 1
    assert count >= len(made)


def test_a_frame_is_written_once_and_what_is_there_is_kept(folder, capsys):
    export(folder, "sharegpt")
    files = sorted((folder / "frames").rglob("*.png"))
    frames = {(name.parent.name, name.name) for name in files}
    assert len(frames) == len(files)
    files[0].unlink()
    before = {file: os.stat(file).st_mtime_ns for file in files[1:]}
    capsys.readouterr()
    export(folder, "trl")
    assert "\n1 images written" in capsys.readouterr().out
    assert sorted((folder / "frames").rglob("*")) == sorted({*files, *(file.parent for file in files)})
    assert before == {file: os.stat(file).st_mtime_ns for file in files[1:]}


@pytest.mark.parametrize("form", ["sharegpt", "trl", "trl-kto"])
def test_rows_with_images_come_back_equal(folder, form):
    export(folder, form)
    given = [
        "--rows",
        str(folder / f"{form}.jsonl"),
        "--out",
        str(folder / "back.jsonl"),
        "--to",
        "trajectories",
    ]
    assert main(["convert", *given]) == 0
    assert (folder / "back.jsonl").read_bytes() == (folder / "t.jsonl").read_bytes()


@pytest.mark.parametrize("form", ["trl", "trl-kto"])
def test_trl_finds_every_image_at_its_place(folder, form, monkeypatch):
    rows = export(folder, form)
    monkeypatch.chdir(folder)  # image paths count from the folder of the file
    loaded = datasets.load_dataset(
        "json", data_files=str(folder / f"{form}.jsonl"), split="train", cache_dir=str(folder / "cache")
    ).cast_column("images", datasets.List(datasets.Image()))
    for row, shown in zip(rows, loaded, strict=True):
        field = "messages" if form == "trl" else "prompt"
        filled = prepare_multimodal_messages(shown[field], images=shown["images"])
        found = [part["image"] for one in filled for part in one["content"] if part["type"] == "image"]
        assert [image.size for image in found] == [Image.open(name).size for name in row["images"]]
        if form == "trl-kto":
            assert shown["label"] in (True, False)
            (last,) = prepare_multimodal_messages(shown["completion"])
            assert last["role"] == "assistant"


def test_llama_factory_finds_turns_in_turn_and_as_many_images_as_placeholders(folder, capsys):
    info = folder / "dataset_info.json"
    info.write_text('{"other": {"file_name": "other.json"}}')
    rows = export(folder, "sharegpt", "--dataset_info", str(info))
    assert json.loads(info.read_text()) == {
        "other": {"file_name": "other.json"},
        "sharegpt": {
            "file_name": "sharegpt.jsonl",
            "formatting": "sharegpt",
            "columns": {
                "messages": "conversations",
                "system": "system",
                "images": "images",
                "kto_tag": "kto_tag",
            },
        },
    }
    for row in rows:
        tags = [one["from"] for one in row["conversations"]]
        assert (
            len(tags) % 2 == 0 and set(tags[::2]) <= {"human", "observation"} and set(tags[1::2]) == {"gpt"}
        )
        assert "".join(one["value"] for one in row["conversations"]).count("<image>") == len(row["images"])
        assert isinstance(row["kto_tag"], bool) and row["system"]
        assert all((folder / name).is_file() for name in row["images"])


def test_without_image_files_it_says_what_is_missing(folder, capsys):
    given = ["--rows", str(folder / "t.jsonl"), "--out", str(folder / "bare.jsonl"), "--to", "sharegpt"]
    assert main(["convert", *given]) == 0
    frames = sum(len(one.frames) for one in read(folder / "t.jsonl", Trajectory))
    said = capsys.readouterr().out
    assert f"{frames} frames are references only: there is no column `images`" in said
    assert '"columns": {"messages": "conversations", "system": "system", "kto_tag": "kto_tag"}' in said


def test_a_video_that_is_gone_is_named(folder, tmp_path, capsys):
    (one, *_) = read(folder / "t.jsonl", Trajectory)
    write(tmp_path / "t.jsonl", [one])
    given = ["--rows", str(tmp_path / "t.jsonl"), "--out", str(tmp_path / "o.jsonl"), "--to", "trl"]
    assert main(["convert", *given, "--images", str(tmp_path / "frames")]) == 1
    assert f"{tmp_path}/clips/" in capsys.readouterr().err
    assert not (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"[]", "want an object of data sets, not list"), (b"\xff", "can not be read"), (b"{", "1: not JSON")],
)
def test_a_dataset_info_that_is_none_is_refused_before_any_work(folder, capsys, content, said):
    (folder / "info.json").write_bytes(content)
    with pytest.raises(UsageError, match=f"info.json:.*{said}"):
        convert(
            str(folder / "t.jsonl"),
            str(folder / "o.jsonl"),
            "sharegpt",
            dataset_info=str(folder / "info.json"),
        )
    assert not (folder / "o.jsonl").exists()


def test_a_folder_for_images_that_can_not_be_is_refused_before_any_work(folder):
    (folder / "file").touch()
    with pytest.raises(UsageError, match="file: no folder for images can be there"):
        convert(str(folder / "t.jsonl"), str(folder / "o.jsonl"), "sharegpt", images=str(folder / "file"))
    assert not (folder / "o.jsonl").exists()
