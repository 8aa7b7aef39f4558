"""What a command reads it does not write over, and no file counts twice."""

import json

import pytest

from eva_lightning.cli import main
from eva_lightning.files.store import write
from eva_lightning.records import Clip
from tests.making import task, trajectory

ROW = {"id": 1, "question": "Who?", "answer": "a dog", "video": "v.mp4"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Rows, tasks and attempts; the commands run in their folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.mp4").touch()
    for name in ("rows.jsonl", "new.held_out.jsonl"):
        (tmp_path / name).write_text(json.dumps(ROW) + "\n")
    one = task(clips=(Clip(id="v", path="v.mp4"),))
    write(tmp_path / "tasks.jsonl", [one])
    attempts = [trajectory(task=one, replica=i, answer="BC"[i % 2]) for i in range(2)]
    write(tmp_path / "attempts.jsonl", attempts)
    return tmp_path


PREPARE = "prepare --videos . --rows"
SIFT = "sift --tasks tasks.jsonl --rules.least 2 --attempts"


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (f"{PREPARE} rows.jsonl --out ./rows.jsonl", "rows.jsonl"),
        (f"{PREPARE} new.held_out.jsonl --held_out 0.5 --out new.jsonl", "new.held_out.jsonl"),
        ("convert --to sharegpt --rows attempts.jsonl --out attempts.jsonl", "attempts.jsonl"),
        ("label --trajectories attempts.jsonl --out attempts.jsonl", "attempts.jsonl"),
        (f"{SIFT} attempts.jsonl --out attempts.jsonl", "attempts.jsonl"),
        (f"{SIFT} attempts.jsonl --out tasks.jsonl", "tasks.jsonl"),
    ],
)
def test_what_is_read_is_not_written_over(folder, capsys, words, read):
    before = (folder / read).read_text()
    assert main(words.split()) == 1
    assert "would take the place of what is read; name another file" in capsys.readouterr().err
    assert (folder / read).read_text() == before


@pytest.mark.parametrize(
    "words",
    [
        f"{PREPARE} [rows.jsonl,./rows.jsonl] --shape.id null --out new.jsonl",
        "label --trajectories [attempts.jsonl,./attempts.jsonl] --out new.jsonl",
        "sift --tasks tasks.jsonl --attempts [attempts.jsonl,./attempts.jsonl] --out new.jsonl",
    ],
)
def test_a_file_that_is_named_twice_is_not_counted_twice(folder, capsys, words):
    # Two attempts would else be the four that eva sift wants.
    assert main(words.split()) == 1
    assert "is named twice; once is enough" in capsys.readouterr().err
    assert not (folder / "new.jsonl").exists()
