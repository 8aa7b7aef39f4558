"""Rows of this version say nothing, older ones are read, newer ones are refused in a line."""

import json

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.files import row_version, store
from eva_lightning.records import Task
from tests.making import task

ROW = {"id": "a", "clips": [{"id": "v"}], "question": "?"}


def written(folder, *rows):
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "tasks.jsonl"


def test_rows_of_the_first_version_say_none_and_may(tmp_path):
    assert "version" not in store.line(task())
    one, other = store.read(written(tmp_path, ROW, {"version": 1, **ROW}), Task)
    assert one == other


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (2, r"version: 2, and rows are known up to 1; install the eva_lightning that wrote it$"),
        (0, "version: 0 is not a whole number from 1 on$"),
        ("1", "version: '1' is not a whole number from 1 on$"),
        (True, "version: True is not a whole number from 1 on$"),
    ],
)
def test_a_row_of_a_version_that_is_not_known_is_refused_by_file_and_line(tmp_path, version, told):
    file = written(tmp_path, ROW, {"version": version, **ROW, "later": 1})
    with pytest.raises(UsageError, match=r"tasks.jsonl:2: " + told):
        store.read(file, Task)


def test_rows_of_several_versions_lie_in_one_file(tmp_path, monkeypatch):
    def second(kind, row):
        return {**{key: value for key, value in row.items() if key != "query"}, "question": row["query"]}

    monkeypatch.setattr(row_version, "VERSION", 3)
    monkeypatch.setattr(row_version, "OLDER", {1: second, 2: lambda kind, row: {**row, "source": kind}})
    first = {"id": "a", "clips": [{"id": "v"}], "query": "Who?"}
    file = written(tmp_path, first, {"version": 2, **ROW})
    with store.Appender(file) as out:
        out.append(task(id="c"))
    assert [(one.id, one.question, one.source) for one in store.read(file, Task)] == [
        ("a", "Who?", "Task"),
        ("a", "?", "Task"),
        ("c", "What colour?", ""),
    ]
    assert json.loads(file.read_text().splitlines()[-1])["version"] == 3
    assert store.line({"messages": []}) == '{"messages":[]}\n'  # another trainer's row
