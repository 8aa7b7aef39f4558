"""A thousand trajectories through every form and back: equal to the last token id."""

import json
from collections import Counter
from dataclasses import fields

import datasets
import pytest

from eva_lightning.cli import main
from eva_lightning.files.store import read, write
from eva_lightning.records import Trajectory
from tests.data.exchange.varied import thousand

FORMS = ["sharegpt", "trl", "trl-kto"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    trajectories = thousand()
    write(folder / "t.jsonl", trajectories)
    return folder, trajectories


def convert(*words):
    return main(["convert", *map(str, words)])


@pytest.fixture(scope="module")
def sent(made):
    """The file of them in each form."""
    files = {form: made[0] / f"{form}.jsonl" for form in FORMS}
    for form, file in files.items():
        assert convert("--rows", made[0] / "t.jsonl", "--out", file, "--to", form) == 0
    return files


def test_the_thousand_differ_in_what_matters(made):
    _, trajectories = made
    assert len({one.task.id for one in trajectories}) == 1000
    assert set(Counter(one.stop for one in trajectories)) == {
        *("answered", "turn_limit", "turn_cut", "token_limit", "no_action", "fault", None)
    }
    assert {one.desirable for one in trajectories} == {None, True, False}
    assert {len(one.task.clips) for one in trajectories} == {1, 2, 3}
    assert sum(bool(one.token_ids) for one in trajectories) > 500
    assert sum("<image>" in "".join(m.text for m in one.messages) for one in trajectories) > 100
    assert sum(len(one.frames) for one in trajectories) > 2000
    assert sum(not one.turns for one in trajectories) > 100
    assert (
        sum(bool(turn.observation and turn.observation.error) for one in trajectories for turn in one.turns)
        > 300
    )


@pytest.mark.parametrize("form", FORMS)
def test_they_come_back_equal(made, sent, form, capsys):
    folder, trajectories = made
    back = folder / f"{form}-back.jsonl"
    assert convert("--rows", sent[form], "--out", back, "--to", "trajectories") == 0
    assert read(back, Trajectory) == trajectories
    assert back.read_bytes() == (folder / "t.jsonl").read_bytes()
    assert "1000 rows of ours came back whole" in capsys.readouterr().out


def test_they_come_back_equal_from_parquet_in_typed_columns(made, monkeypatch):
    folder, trajectories = made
    monkeypatch.setenv("HF_HOME", str(folder / "hub"))
    there = folder / "t.parquet"
    assert convert("--rows", folder / "t.jsonl", "--out", there, "--to", "parquet") == 0
    loaded = datasets.load_dataset(
        "parquet", data_files=str(there), split="train", cache_dir=str(folder / "cache")
    )
    assert loaded.num_rows == 1000 and set(loaded.features) == {one.name for one in fields(Trajectory)}
    turn = loaded.features["turns"].feature
    assert (turn["text"].dtype, turn["token_ids"].feature.dtype, turn["logprobs"].feature.dtype) == (
        *("string", "int64", "float64"),
    )
    assert loaded.features["task"]["clips"].feature["begin"].dtype == "float64"
    assert loaded[0]["task"]["question"] == trajectories[0].task.question
    loaded.save_to_disk(folder / "saved")
    for rows in (there, folder / "saved"):
        assert convert("--rows", rows, "--out", folder / "z.jsonl", "--to", "trajectories") == 0
        assert (folder / "z.jsonl").read_bytes() == (folder / "t.jsonl").read_bytes()


def test_they_come_back_equal_from_one_form_through_another(made, sent):
    folder, _ = made
    before = sent["sharegpt"]
    for form in ("trl-kto", "trl", "trajectories"):
        after = folder / f"through-{form}.jsonl"
        assert convert("--rows", before, "--out", after, "--to", form) == 0
        before = after
    assert before.read_bytes() == (folder / "t.jsonl").read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_they_come_back_equal_through_the_library_that_trainers_load_rows_with(made, sent, form, monkeypatch):
    folder, _ = made
    monkeypatch.setenv("HF_HOME", str(folder / "hub"))
    loaded = datasets.load_dataset(
        "json", data_files=str(sent[form]), split="train", cache_dir=str(folder / "cache")
    )
    assert loaded.num_rows == 1000
    loaded.to_parquet(folder / f"{form}.parquet")
    assert (
        convert("--rows", folder / f"{form}.parquet", "--out", folder / "y.jsonl", "--to", "trajectories")
        == 0
    )
    assert (folder / "y.jsonl").read_bytes() == (folder / "t.jsonl").read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_words_are_stored_once(made, sent, form):
    _, trajectories = made
    for line, one in zip(sent[form].read_text().split("\n"), trajectories, strict=False):
        extra = json.loads(json.loads(line)["eva"])
        assert "prompt" not in extra and "desirable" not in extra
        assert all(
            "text" not in turn and "parts" not in turn.get("observation", {})
            for turn in extra.get("turns", ())
        )
        assert len(extra.get("frames", ())) == len(one.frames)


@pytest.mark.parametrize("form", FORMS)
def test_a_placeholder_stands_for_a_frame_and_for_nothing_else(made, sent, form):
    _, trajectories = made
    for line, one in zip(sent[form].read_text().split("\n"), trajectories, strict=False):
        row = json.loads(line)
        row.pop("eva")
        text = json.dumps(row)
        found = text.count("<image>") if form == "sharegpt" else text.count('{"type": "image"')
        assert found == len(one.frames)
        assert form == "sharegpt" or "<image>" not in text


def test_columns_that_were_changed_are_refused_in_a_line(made, tmp_path, capsys):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"task": {"extra": "{"}}, {"task": {"extra": "{}", "clips": [3]}}, {"task": {"extra": "{}"}}]
    for row, why in zip(rows, ["is not JSON", "no Trajectory in columns", "prompt: missing"], strict=True):
        parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "x.parquet")
        assert convert("--rows", tmp_path / "x.parquet", "--out", tmp_path / "y", "--to", "trajectories") == 1
        assert f"{tmp_path}/x.parquet row 1: " in (said := capsys.readouterr().err) and why in said
