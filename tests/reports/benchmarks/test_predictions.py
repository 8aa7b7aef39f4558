"""Answers in the files that others' scorers read: lists, lines and objects, with values as they are."""

import json

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.reports.benchmarks.predictions import Predictions, write_predictions
from tests.making import task, trajectory

GQA = task(grounds=((10.0, 20.0),), id="GQA/v_3", extra={"index": "v_3", "video": "v"})


def answered(said, asked=GQA, **fields):
    return trajectory(task=asked, answer=said, **fields)


def written(path, *made, **form):
    assert write_predictions(path, Predictions(**form), made) == len(
        [one for one in made if one.stop != "fault"]
    )
    return path.read_text()


def test_a_name_alone_becomes_its_value_and_among_words_it_stays_text(tmp_path):
    form = {
        "qid": "{index}",
        "when": "{intervals}",
        "first": ["{start}", "{end}"],
        "of": "in {video}: {letter}",
    }
    text = written(tmp_path / "p.json", answered("From 3 to 7.5 and 9 to 10, B. blue"), row=form)
    assert json.loads(text) == [
        {"qid": "v_3", "when": [[3.0, 7.5], [9.0, 10.0]], "first": [3.0, 7.5], "of": "in v: B"}
    ]


def test_lines_and_objects_are_named_by_their_ending_and_key(tmp_path):
    made = [answered("3 to 7, C"), answered("red", asked=task(id="GQA/v_4", extra={"index": "v_4"}))]
    text = written(tmp_path / "p.jsonl", *made, row={"id": "{index}", "place": "{place}", "said": "{said}"})
    assert [json.loads(line) for line in text.splitlines()] == [
        {"id": "v_3", "place": 2, "said": "C"},
        {"id": "v_4", "place": 0, "said": "red"},
    ]
    text = written(tmp_path / "p.json", *made, key="{index}", row="{interval}")
    assert json.loads(text) == {"v_3": [3.0, 7.0], "v_4": [-1.0, -1.0]}
    with pytest.raises(UsageError, match=r"p.jsonl: a key makes an object"):
        write_predictions(tmp_path / "p.jsonl", Predictions(key="{index}", row=1), made)


def test_what_was_not_said_is_null_and_a_fault_is_no_prediction(tmp_path):
    form = {"l": "{letter}", "n": "{number}", "i": "{intervals}", "a": "{answer}", "g": "{gold}"}
    made = [answered(None), answered(None, stop="fault")]
    assert json.loads(written(tmp_path / "p.json", *made, row=form)) == [
        {"l": None, "n": None, "i": [], "a": "", "g": "B"}
    ]


def test_a_question_that_was_asked_several_times_is_predicted_once(tmp_path):
    made = [answered("B", replica=replica) for replica in (0, 1)]
    assert write_predictions(tmp_path / "p.json", Predictions(row="{letter}"), made) == 1


def test_a_name_that_nobody_knows_is_refused_with_those_that_are_known(tmp_path):
    with pytest.raises(UsageError, match=r"p.json: {video_id} is none of index, id, .* shape.keep \(video\)"):
        write_predictions(tmp_path / "p.json", Predictions(row={"v": "{video_id}"}), [answered("B")])
    assert not (tmp_path / "p.json").exists()
