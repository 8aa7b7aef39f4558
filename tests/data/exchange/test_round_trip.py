"""A thousand trajectories through every form and back: equal to the last token id."""

import json
from collections import Counter

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
def test_they_come_back_equal(made, form, tmp_path, capsys):
    folder, trajectories = made
    there, back = folder / f"{form}.jsonl", folder / f"{form}-back.jsonl"
    assert convert("--rows", folder / "t.jsonl", "--out", there, "--to", form) == 0
    assert convert("--rows", there, "--out", back, "--to", "trajectories") == 0
    assert read(back, Trajectory) == trajectories
    assert back.read_bytes() == (folder / "t.jsonl").read_bytes()
    assert "1000 rows of ours came back whole" in capsys.readouterr().out


def test_they_come_back_equal_from_one_form_through_another(made):
    folder, _ = made
    steps = ["t", "a", "b", "c", "d"]
    for before, after, form in zip(
        steps, steps[1:], ["sharegpt", "trl-kto", "trl", "trajectories"], strict=False
    ):
        assert (
            convert("--rows", folder / f"{before}.jsonl", "--out", folder / f"{after}.jsonl", "--to", form)
            == 0
        )
    assert (folder / "d.jsonl").read_bytes() == (folder / "t.jsonl").read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_they_come_back_equal_through_the_library_that_trainers_load_rows_with(made, form, monkeypatch):
    folder, _ = made
    monkeypatch.setenv("HF_HOME", str(folder / "hub"))
    assert convert("--rows", folder / "t.jsonl", "--out", folder / "x.jsonl", "--to", form) == 0
    loaded = datasets.load_dataset(
        "json", data_files=str(folder / "x.jsonl"), split="train", cache_dir=str(folder / "cache")
    )
    assert loaded.num_rows == 1000
    loaded.to_parquet(folder / f"{form}.parquet")
    assert (
        convert("--rows", folder / f"{form}.parquet", "--out", folder / "y.jsonl", "--to", "trajectories")
        == 0
    )
    assert (folder / "y.jsonl").read_bytes() == (folder / "t.jsonl").read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_words_are_stored_once(made, form):
    folder, trajectories = made
    assert convert("--rows", folder / "t.jsonl", "--out", folder / "s.jsonl", "--to", form) == 0
    for line, one in zip((folder / "s.jsonl").read_text().split("\n"), trajectories, strict=False):
        extra = json.loads(json.loads(line)["eva"])
        assert "prompt" not in extra and "desirable" not in extra
        assert all(
            "text" not in turn and "parts" not in turn.get("observation", {})
            for turn in extra.get("turns", ())
        )
        assert len(extra.get("frames", ())) == len(one.frames)


@pytest.mark.parametrize("form", FORMS)
def test_a_placeholder_stands_for_a_frame_and_for_nothing_else(made, form):
    folder, trajectories = made
    assert convert("--rows", folder / "t.jsonl", "--out", folder / "p.jsonl", "--to", form) == 0
    for line, one in zip((folder / "p.jsonl").read_text().split("\n"), trajectories, strict=False):
        row = json.loads(line)
        row.pop("eva")
        text = json.dumps(row)
        found = text.count("<image>") if form == "sharegpt" else text.count('{"type": "image"')
        assert found == len(one.frames)
        assert form == "sharegpt" or "<image>" not in text
