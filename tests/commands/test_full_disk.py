"""A disk that is full, or takes nothing, ends a command with one line; what was written is whole."""

import pytest

from eva_lightning.cli import main
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.store import read
from eva_lightning.records import Trajectory
from tests.files.small_disk import small_disk


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A world of a clip, and twelve attempts at its questions."""
    folder = tmp_path_factory.mktemp("world")
    settings = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    build_world(folder, 1, settings, families=["colour_at", "when"])
    assert main(collecting(folder, folder / "made.jsonl")) == 0
    return folder


def collecting(folder, out):
    return f"collect --oracle --attempts 6 --concurrency 1 --tasks {folder} --out {out}".split()


def refused(words, capsys):
    assert main(words.split()) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    (told,) = [line for line in said.replace("\r", "\n").splitlines() if "eva " in line]
    return told[told.index("eva ") :]


SHORT = ["label --trajectories made.jsonl", "convert --to sharegpt --rows made.jsonl"]


@pytest.mark.parametrize("words", SHORT)
def test_a_file_that_has_no_room_is_not_there(words, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = sorted(path.name for path in folder.iterdir())
    with small_disk(5000):
        told = "out.jsonl: can not be written (File too large); make room, and call it again"
        assert told in refused(f"{words} --out out.jsonl", capsys)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_page_that_has_no_room_is_not_there_and_clips_say_that_there_is_none(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    with small_disk(5000):
        assert "out.html: File too large" in refused("view made.jsonl --out out.html", capsys)
        said = refused("synthesize world --out elsewhere --videos 1 --held_out 1", capsys)
    assert said.endswith(".mp4.part: can not be written (File too large); make room, and call it again")
    assert not list(folder.glob("*out.html*"))


def test_images_that_have_no_room_are_not_there(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    with small_disk(100):
        told = refused("convert --to sharegpt --rows made.jsonl --images images --out out.jsonl", capsys)
    assert told.startswith("eva convert: images/") and "can not be written (File too large)" in told
    assert not [path for path in folder.rglob("images/**/*") if path.is_file()]
    assert not (folder / "out.jsonl").exists()


def test_a_collection_that_ran_out_of_room_is_whole_and_goes_on(folder, tmp_path, capsys):
    words = " ".join(collecting(folder, tmp_path / "out.jsonl"))
    with small_disk(9000):
        assert "out.jsonl: can not be written (File too large)" in refused(words, capsys)
    some = read(tmp_path / "out.jsonl", Trajectory)
    assert 2 < len(some) < 12
    assert main(words.split()) == 0
    assert read(tmp_path / "out.jsonl", Trajectory)[: len(some)] == some
    assert "cut a torn last line" not in capsys.readouterr().err
    assert len(read(tmp_path / "out.jsonl", Trajectory)) == 12
