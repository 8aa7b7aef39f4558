"""Rows that are made of several places of a file, or of several files, and those that are left out."""

import json

import pytest

from eva_lightning.data.intake.row import Beside, Table
from eva_lightning.data.intake.tables import every_row_of, rows_of
from eva_lightning.faults import UsageError

LINES = Table(line="{video} {times}##{sentence}")


def put(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def values(file, table):
    return [dict(row.values) for row in rows_of(file, table)]


def test_a_line_is_cut_at_what_parts_its_columns_the_last_one_is_the_rest(tmp_path):
    file = put(tmp_path, "a.txt", "V1 0.0 6.9##a person ## runs\n\nV2 1 2##jumps  \n")
    assert values(file, LINES) == [
        {"video": "V1", "times": "0.0 6.9", "sentence": "a person ## runs"},
        {"video": "V2", "times": "1 2", "sentence": "jumps"},
    ]
    assert [row.number for row in rows_of(file, LINES)] == [1, 3]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (None, r"a.txt: say how its lines are made"),
        ("no column", r"line 'no column': want columns in braces"),
        ("{a}{b}", r"line '{a}{b}': want columns in braces"),
        ("{a}|{b}", r"a.txt:1: no '\|' behind a in 'V1 0 1##x'"),
    ],
)
def test_lines_that_are_made_in_another_way_are_refused(line, said, tmp_path):
    file = put(tmp_path, "a.txt", "V1 0 1##x")
    with pytest.raises(UsageError, match=said):
        values(file, Table(line=line))


def test_a_long_line_without_its_sign_is_read_once(tmp_path):
    file = put(tmp_path, "a.txt", "V1 " * 300_000)
    (row,) = every_row_of(file, LINES)
    assert row.problem.detail.startswith("no '##' behind times in 'V1 V1") and len(row.problem.detail) < 100


def test_an_object_of_rows_by_key_has_the_key_as_a_column(tmp_path):
    file = put(tmp_path, "a.json", {"v1": {"n": 1}, "v2": {"n": 2}})
    assert values(file, Table(keyed="video")) == [{"video": "v1", "n": 1}, {"video": "v2", "n": 2}]
    with pytest.raises(UsageError, match=r"or say which column its keys are \(keyed\)"):
        values(file, Table())
    with pytest.raises(UsageError, match=r"under 'v1' is no object but list"):
        values(put(tmp_path, "b.json", {"v1": []}), Table(keyed="video"))


def test_lists_are_walked_together_and_every_place_is_a_row(tmp_path):
    rows = [{"id": "a", "t": [[0, 1], [2, 3]], "s": "['x', 'y']"}, {"id": "b", "t": [[4, 5]], "s": ["z"]}]
    found = list(rows_of(put(tmp_path, "a.json", rows), Table(each=["t", "s"])))
    assert [(row.number, row.values["id"], row.values["t"], row.values["s"]) for row in found] == [
        (1, "a", [0, 1], "x"),
        (2, "a", [2, 3], "y"),
        (3, "b", [4, 5], "z"),
    ]
    assert found[1].place.endswith("a.json row 1, number 2")
    odd = put(tmp_path, "b.json", [{"t": [1, 2], "s": ["x"]}, {"t": 1, "s": ["x"]}, {"t": [7], "s": ["x"]}])
    problems = [row.problem and row.problem.detail for row in every_row_of(odd, Table(each=["t", "s"]))]
    assert problems == [
        "t, s: want lists of one length, not 2, 1",
        "t, s: want lists of one length, not 1, 1",
        None,
    ]


def test_rows_that_are_not_asked_for_are_left_out(tmp_path):
    rows = [{"kind": "a", "n": 1}, {"kind": "b", "n": 2}, {"kind": "c", "n": 3}, {"n": 4}]
    file = put(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    found = list(every_row_of(file, Table(where={"kind": ["a", "c"]})))
    assert [row.values.get("n") for row in found] == [1, 3, None]
    assert found[2].problem.detail == "kind is none of its columns n"  # a wrong name is no filter
    assert [row.values.get("n") for row in every_row_of(file, Table(where={"kind": "b"}))] == [2, None]


def test_a_file_beside_adds_what_it_has_for_each_row(tmp_path):
    put(tmp_path, "more.json", {"7": {"x": 1}})
    file = put(tmp_path, "a.csv", "id,n\n7,1\n8,2\n")
    first, second = every_row_of(file, Table(beside={"more": Beside(file="more.json", key="id")}))
    assert first.values == {"id": "7", "n": "1", "more": {"x": 1}} and first.place.endswith("a.csv:2")
    assert second.problem.detail == "more.json has no '8', which id names"


@pytest.mark.parametrize(
    ("content", "said"),
    [("[1]", "want an object by key, not list"), ("{", "not JSON"), ('{"a": "\\ud83d"}', "half a character")],
)
def test_a_file_beside_that_is_none_is_refused(content, said, tmp_path):
    put(tmp_path, "more.json", content)
    file = put(tmp_path, "a.csv", "id\n7\n")
    with pytest.raises(UsageError, match=rf"more.json: .*{said}"):
        list(rows_of(file, Table(beside={"more": Beside(file="more.json", key="id")})))
