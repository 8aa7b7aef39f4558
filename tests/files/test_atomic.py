"""What is written beside and renamed is there whole or not at all, and leaves nothing behind."""

import os

import pytest

from eva_lightning.files.atomic import appearing


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
