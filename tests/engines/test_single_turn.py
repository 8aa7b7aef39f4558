"""A reply that is to be JSON, read as it comes: fenced or not, and nothing that a file could not hold."""

import time

import pytest

from eva_lightning.engines.single_turn import json_of


@pytest.mark.parametrize(
    "reply",
    [
        '{"a": 1}',
        ' {"a": 1}\n',
        '```json\n{"a": 1}\n```',
        '```\n{"a": 1}```',
        '```json \n\n{"a": 1}\n\n```\n',
    ],
)
def test_json_may_stand_in_a_fence(reply):
    assert json_of(reply) == {"a": 1}


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("", "Expecting value at column 1"),
        ('```json {"a": 1}```', "Expecting value"),
        ("```", "Expecting value"),
        ('{"a": 1} so', "Extra data at column 10"),
        ("[" * 33 + "]" * 33, "nested more than 32 deep"),
        ("[" * 100_000, "nested too deeply"),
        ("[NaN]", "NaN is no number in JSON"),
        ("[1e999]", "1e999 is too large for a number"),
        ("[" + "1" * 5000 + "]", "a whole number of 5000 digits; at most 18 are read"),
        ('["\\ud800"]', "half a character"),
        ('{"a": 1, "a": 2}', "'a' stands there twice"),
    ],
)
def test_what_else_a_reply_is_is_said_in_a_line(reply, said):
    with pytest.raises(ValueError) as problem:
        json_of(reply)
    assert said in str(problem.value)


@pytest.mark.parametrize("reply", ["```json" + "\n" * 1500 + "x" + "\n" * 1500 + "```x", "```\n" * 16_000])
def test_a_fence_that_never_closes_is_read_in_no_time(reply):
    began = time.process_time()
    with pytest.raises(ValueError):
        json_of(reply)
    assert time.process_time() - began < 1.0
