"""Rows of every kind of file come out alike, each with the place where it stands."""

import csv
import importlib
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eva_lightning.data.intake import tables
from eva_lightning.data.intake.row import Table
from eva_lightning.data.intake.tables import rows_of
from eva_lightning.faults import UsageError

ROWS = [{"id": "a", "question": "Who?\nWhere?", "n": 1}, {"id": "b", "question": 'A "dog", ü', "n": 2}]


def write(folder, kind):
    """The rows as a file of that kind; its path, and what must be known of it."""
    path = folder / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + "\n")
    elif kind == "json":
        path.write_text(json.dumps(ROWS, indent=2))
    elif kind in ("csv", "tsv"):
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, ["id", "question", "n"], delimiter="," if kind == "csv" else "\t")
            writer.writeheader()
            writer.writerows(ROWS)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif kind == "saved":
        datasets.Dataset.from_list(ROWS).save_to_disk(str(path))
    elif kind == "splits":
        datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}).save_to_disk(str(path))
    else:
        path.mkdir()
        (path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(path)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "tsv", "parquet", "saved", "splits", "folder"])
def test_rows_are_the_same_whatever_holds_them(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    rows = list(rows_of(write(tmp_path, kind)))
    as_text = kind in ("csv", "tsv")
    assert [dict(row.values) for row in rows] == [
        {**row, "n": str(row["n"])} if as_text else row for row in ROWS
    ]
    assert [row.number for row in rows] == [1, 2]


@pytest.mark.parametrize(
    ("kind", "places"),
    [
        ("jsonl", (":1", ":2")),
        ("csv", (":3", ":4")),
        ("json", (" row 1", " row 2")),
        ("saved", (" row 1", " row 2")),
    ],
)
def test_a_row_says_where_it_stands(kind, places, tmp_path):
    path = write(tmp_path, kind)
    assert (
        tuple(row.place.removeprefix(path) for row in rows_of(path)) == places
    )  # a cell of two lines ends at 3


def test_a_list_inside_an_object_is_named_by_its_key(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"train": ROWS, "test": ROWS[:1], "version": 1}))
    assert len(list(rows_of(str(path), Table(key="test")))) == 1
    with pytest.raises(
        UsageError, match=r"a.json: holds an object; its lists are train, test: name one as key"
    ):
        list(rows_of(str(path)))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', r"a.jsonl:2: not JSON"),
        ("a.jsonl", '{"a": "\\ud83d\\ude00"}\n{"a": "\\ud83d"}\n', r"a.jsonl:2: holds half a character"),
        ("a.jsonl", "[1]\n", r"a.jsonl:1: holds no object but list"),
        ("a.json", '{"a": 1}\n{"a": 2}\n', r"a.json:2: not JSON \(Extra data\); one object a line is JSONL"),
        ("a.json", "3", r"a.json: want a list of rows, not int"),
        ("a.csv", "a,b\n1,2\n1,2,3\n", r"a.csv:3: another number of columns than the 2 named"),
        ("a.csv", 'a,b\n1,"2\n', r"a.csv:2: unexpected end of data"),
        ("a.parquet", "no", r"a.parquet: no Parquet"),
        (
            "a.xlsx",
            "",
            r"a.xlsx: rows are read from .jsonl, .ndjson, .json, .csv, .tsv, .parquet, .txt or a `datasets`",
        ),
    ],
)
def test_what_is_no_row_is_named_with_its_place(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        list(rows_of(str(tmp_path / name)))


def test_a_folder_that_holds_no_such_split_and_a_file_that_is_not_there_are_told(tmp_path):
    with pytest.raises(UsageError, match=r"`datasets` can not read split 'test' of it"):
        list(rows_of(write(tmp_path, "splits"), Table(split="test")))
    with pytest.raises(UsageError, match="there is no such file"):
        list(rows_of(str(tmp_path / "none.jsonl")))


def test_a_library_that_is_not_there_is_named_with_what_to_install(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name) if name.startswith("pyarrow") else importlib.import_module(name)

    path = write(tmp_path, "parquet")
    monkeypatch.setattr(tables, "import_module", missing)
    with pytest.raises(UsageError, match=r"pyarrow is not installed.*: pip install 'eva-lightning\[data\]'"):
        list(rows_of(path))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
@pytest.mark.parametrize(
    ("text", "said"), [("[" * 100_000, "nested too deeply"), ("[" + "1" * 5000 + "]", "thousands of digits")]
)
def test_json_that_nobody_can_read_is_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=f"{name}.*not JSON.*{said}"):
        list(rows_of(str(tmp_path / name)))


def test_a_line_without_end_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST", 1000)
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n' + "x" * 5000)
    rows = rows_of(str(tmp_path / "rows.jsonl"))
    assert next(rows).values == {"a": 1}
    with pytest.raises(UsageError, match="rows.jsonl:2: a line of more than 1000 bytes"):
        next(rows)


def test_a_column_that_is_there_twice_is_not_chosen_from(tmp_path):
    (tmp_path / "rows.csv").write_text("id,answer,answer\n1,x,y\n")
    with pytest.raises(UsageError, match="rows.csv: two columns are named 'answer'"):
        list(rows_of(str(tmp_path / "rows.csv")))
