"""What is written beside and renamed is there whole or not at all, and leaves nothing behind."""

import os
import sys
from pathlib import Path

import pytest

from eva_lightning.files import atomic
from eva_lightning.files.atomic import appearing, part_of, place, sweep


def names(folder):
    return sorted(os.listdir(folder))


def test_a_file_is_seen_under_its_name_only_when_it_is_whole(tmp_path):
    with appearing(tmp_path / "a.txt") as part:
        part.write_text("ab")
        assert names(tmp_path) == [".a.txt.part"]
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "ab"


def test_an_error_leaves_what_was_there_and_no_part(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ZeroDivisionError), appearing(tmp_path / "a.txt") as part:
        part.write_text("ne")
        1 / 0  # noqa: B018
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_appears_without_what_a_killed_writer_left_of_it(tmp_path):
    (tmp_path / ".a.part").mkdir()
    (tmp_path / ".a.part" / "stale").touch()
    with appearing(tmp_path / "a") as part:
        part.mkdir()
        (part / "fresh").touch()
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == ["fresh"]


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError), appearing(tmp_path / "a") as part:
        part.write_text("x")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").is_dir()


def test_two_processes_that_write_one_file_have_a_part_each(tmp_path):
    with appearing(tmp_path / "a", shared=True) as part:
        part.write_text("x")
        assert names(tmp_path) == [f".a.{os.getpid()}.part"]
    assert names(tmp_path) == ["a"]


def test_nothing_written_is_an_error_and_not_an_empty_file(tmp_path):
    with pytest.raises(FileNotFoundError), appearing(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


def folder_of(path, word):
    path.mkdir()
    (path / word).write_text(word)


class Killed(BaseException):
    """What no process survives."""


@pytest.fixture
def dies_between_two_names(monkeypatch):
    """The moment at which the old folder has lost its name and the new one has not got it yet."""
    rename = Path.rename

    def rename_and_die(self, target):
        rename(self, target)
        raise Killed

    monkeypatch.setattr(atomic, "_exchanged", lambda part, path: False)  # as where the system can not
    monkeypatch.setattr(Path, "rename", rename_and_die)
    yield
    monkeypatch.undo()


def test_whoever_dies_while_a_folder_is_replaced_leaves_the_old_one_to_be_restored(
    tmp_path, dies_between_two_names, monkeypatch
):
    folder_of(tmp_path / "a", "old")
    folder_of(part_of(tmp_path / "a"), "new")
    with pytest.raises(Killed):
        place(tmp_path / "a")
    monkeypatch.undo()
    assert not (tmp_path / "a").exists()
    sweep(tmp_path)
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == ["old"]


def test_what_was_put_aside_goes_once_the_new_one_has_its_name(tmp_path, dies_between_two_names, monkeypatch):
    folder_of(tmp_path / "a", "old")
    folder_of(part_of(tmp_path / "a"), "new")
    with pytest.raises(Killed):
        place(tmp_path / "a")
    monkeypatch.undo()
    place(tmp_path / "a")
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == ["new"]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone exchanges two names in one go")
def test_where_the_system_can_two_folders_exchange_their_names_in_one_go(tmp_path, monkeypatch):
    folder_of(tmp_path / "a", "old")
    folder_of(part_of(tmp_path / "a"), "new")
    monkeypatch.setattr(Path, "rename", None)
    monkeypatch.setattr(Path, "replace", None)
    place(tmp_path / "a")
    monkeypatch.undo()
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == ["new"]


def test_all_of_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    told, fsync = [], os.fsync

    def note(handle):
        told.append((os.readlink(f"/proc/self/fd/{handle}"), (tmp_path / "a").exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    with appearing(tmp_path / "a") as part:
        (part / "deep").mkdir(parents=True)
        (part / "deep" / "weights").write_text("x" * 1000)
        (part / "settings").write_text("y")
    asked = {os.path.relpath(place, tmp_path) for place, named in told if not named}
    assert asked == {f".a.part/{one}".rstrip("/") for one in ("", "deep", "deep/weights", "settings")}
    assert told[-1] == (str(tmp_path), True)
