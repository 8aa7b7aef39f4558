"""A full disk is one line, and what was written before is whole."""

import errno

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.files.full_disk import refusal_of, writing
from eva_lightning.files.store import Appender, line, read, write
from eva_lightning.records import Task
from tests.files.small_disk import small_disk
from tests.making import task

TOLD = r"t\.jsonl: can not be written \(File too large\); make room, and call it again$"


def test_a_row_that_has_no_room_leaves_those_before_it_whole(tmp_path):
    rows = [task(id=f"t{i}") for i in range(9)]
    with Appender(tmp_path / "t.jsonl") as out:
        with small_disk(4 * len(line(rows[0])) + 20), pytest.raises(UsageError, match=TOLD):
            for row in rows:
                out.append(row)
        assert read(tmp_path / "t.jsonl", Task) == rows[:4]
        for row in rows[4:]:  # there is room again
            out.append(row)
    assert read(tmp_path / "t.jsonl", Task) == rows


def test_a_file_that_has_no_room_is_as_it_was(tmp_path):
    write(tmp_path / "t.jsonl", [task()])
    with small_disk(1000), pytest.raises(UsageError, match=TOLD):
        write(tmp_path / "t.jsonl", [task(id=f"t{i}") for i in range(99)])
    assert read(tmp_path / "t.jsonl", Task) == [task()]
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EROFS, "x"), "Read-only file system"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (
            RuntimeError("PytorchStreamWriter failed writing file data/3"),
            "the disk is full",
        ),
        (OSError(errno.EBADF, "Bad file descriptor"), None),
        (ValueError("no such thing"), None),
    ],
)
def test_what_the_disk_says_is_told_from_other_errors(problem, why):
    assert refusal_of(problem) == why
    with pytest.raises(UsageError if why else type(problem)), writing("a"):
        raise problem
