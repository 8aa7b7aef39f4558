"""While one process writes a file or folder, no command writes it too; nobody waits an hour to be told so."""

import json

import pytest

from eva_lightning.cli import main
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.store import write
from tests.making import task, trajectory


@pytest.mark.parametrize(
    "words",
    [
        "label --trajectories attempts.jsonl",
        "convert --to sharegpt --rows attempts.jsonl",
        "sift --tasks tasks.jsonl --attempts attempts.jsonl --rules.least 1",
        "prepare --videos . --rows rows.jsonl",
        "synthesize world --videos 1",
        "demo --share 0.01",
    ],
)
def test_a_second_command_on_one_out_is_refused_before_it_does_anything(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("tasks.jsonl", [task()])
    write("attempts.jsonl", [trajectory(task=task(), replica=i, answer="BC"[i]) for i in range(2)])
    row = {"id": 1, "question": "Who?", "answer": "a dog", "video": "v.mp4"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "v.mp4").touch()
    before = sorted(path.name for path in tmp_path.iterdir())
    with sole_writer("out.jsonl", "wait"):
        assert main([*words.split(), "--out", "out.jsonl"]) == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "out.jsonl.lock"])
    said = capsys.readouterr()
    assert "out.jsonl: another process is writing it (process " in said.err and said.out == ""
    assert said.err.rstrip().endswith("; wait until it is done, or give another --out")
