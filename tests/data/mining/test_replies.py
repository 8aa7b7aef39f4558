"""A teacher's reply becomes tasks that a file can hold, or the reason why not, in a line."""

import json

import pytest

from eva_lightning.data.mining.author import Rejected
from eva_lightning.data.mining.replies import Commission, read_rows
from eva_lightning.files.encoding import decode
from eva_lightning.files.store import line
from eva_lightning.records import Clip, Span, Task

COMMISSION = Commission(
    clip=Clip(id="v", path="v.mp4"), shown=(10.0, 20.0), count=2, options=False, source="s", cause="wrong"
)


def row(**fields):
    return {"question": "Which ink?", "answer": "pink", "start": 11, "end": 12} | fields


def test_a_row_becomes_a_task():
    (one,) = read_rows(json.dumps([row()]), COMMISSION)
    assert one.evidence == (Span(clip="v", start=11.0, end=12.0),)
    assert decode(Task, json.loads(line(one))) == one


@pytest.mark.parametrize(
    ("start", "end"), [(20.1, 20.3), (9.6, 9.8), (20.0, 20.4), (9.5, 10.0)], ids=lambda one: str(one)
)
def test_evidence_that_lies_beside_what_was_shown_is_off_the_clip(start, end):
    (one,) = read_rows(json.dumps([row(start=start, end=end)]), COMMISSION)
    assert isinstance(one, Rejected) and one.cause == "off clip"


@pytest.mark.parametrize("fields", [{"question": "Which \ud800?"}, {"answer": "\ud800"}, {"more": "\ud800"}])
def test_half_a_character_is_no_json(fields):
    (one,) = read_rows(json.dumps([row(**fields)]), COMMISSION)
    assert (one.cause, one.reason) == ("not JSON", "half a character")


@pytest.mark.parametrize(
    "reply",
    [
        json.dumps([row(question=["x" * 60_000])]),
        json.dumps([row(start="x" * 60_000)]),
        json.dumps([{"x" * 60_000: 1}]),
        json.dumps([{f"{number}": 1 for number in range(5000)}]),
        json.dumps([row(options=["x" * 60_000])]),
    ],
    ids=range(5),
)
@pytest.mark.parametrize("options", [False, True])
def test_what_is_wrong_with_a_row_is_said_in_a_line(reply, options):
    (one,) = read_rows(reply, Commission(**(vars(COMMISSION) | {"options": options})))
    assert len(one.reason) < 300


def test_a_row_nested_deeply_is_no_json():
    (one,) = read_rows("[" * 900 + "]" * 900, COMMISSION)
    assert (one.cause, one.reason) == ("not JSON", "nested more than 32 deep")
