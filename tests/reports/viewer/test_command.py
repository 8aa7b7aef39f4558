"""eva view, as a user types it."""

import re
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest

from eva_lightning.cli import main
from eva_lightning.files.store import write
from tests.making import trajectory
from tests.reports.viewer.test_page import blocks


def test_a_file_of_trajectories_becomes_a_page_beside_it(taught, capsys):
    assert main(["view", str(taught.folder / "sloppy.jsonl"), "--thumbnails.per_trajectory", "100"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"16 trajectories in {taught.folder / 'sloppy.html'} (0.")
    assert "thumbnails: 100%" in said.err
    held = blocks((taught.folder / "sloppy.html").read_text())
    assert held["list"]["names"] == ["sloppy"] and held["list"]["notes"] == []
    pictures = [url for number in range(4) for url in held[f"clip-{number}"]["pictures"].values()]
    watched = {frame for one in taught.sloppy for frame in one.frames}  # a clip's id is in its frames
    assert len(pictures) == len(watched) and all(url.startswith("data:image/webp") for url in pictures)


def test_two_runs_are_laid_side_by_side(taught, tmp_path, capsys):
    out = tmp_path / "deep" / "both.html"
    words = ["--other", str(taught.folder / "oracle.jsonl"), "--out", str(out)]
    assert main(["view", str(taught.folder / "sloppy.jsonl"), *words, "--limit", "3"]) == 0
    held = blocks(out.read_text())
    assert held["list"]["names"] == ["sloppy", "oracle"]
    assert [len(one["sides"]) for one in held["list"]["rows"]] == [2, 2, 2]
    assert [one["sides"][1]["grade"] for one in held["list"]["rows"]] == ["right"] * 3


def test_attempts_of_the_other_run_alone_are_told(tmp_path, capsys):
    write(tmp_path / "run.jsonl", [trajectory()])
    write(tmp_path / "b" / "run.jsonl", [trajectory(), trajectory(replica=1)])
    assert main(["view", str(tmp_path / "run.jsonl"), "--other", str(tmp_path / "b" / "run.jsonl")]) == 0
    held = blocks((tmp_path / "run.html").read_text())["list"]
    assert held["names"] == [str(tmp_path / "run.jsonl"), str(tmp_path / "b" / "run.jsonl")]
    alone, gone = held["notes"]
    assert alone.startswith("1 attempts are in") and gone.startswith("1 of 1 clips can not be read: v.mp4")


def test_videos_are_found_where_they_were_moved(taught, tmp_path, capsys):
    shutil.copy(taught.folder / "oracle.jsonl", tmp_path / "oracle.jsonl")
    file, clips = str(tmp_path / "oracle.jsonl"), str(taught.folder / "clips")
    assert main(["view", file, "--thumbnails.per_trajectory", "2"]) == 0
    assert (
        "4 of 4 clips can not be read" in blocks((tmp_path / "oracle.html").read_text())["list"]["notes"][0]
    )
    for videos in (clips, str(taught.folder)):  # clips/x.mp4 by its name, and by its path
        assert main(["view", file, "--videos", videos, "--thumbnails.per_trajectory", "2"]) == 0
        held = blocks((tmp_path / "oracle.html").read_text())
        assert held["list"]["notes"] == [] and len(held["clip-0"]["pictures"]) > 0


def test_log_probs_stand_on_words_where_there_is_a_tokenizer(tiny_folder, tmp_path, capsys):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    ids = tokenizer.encode("blue 🟦 é")
    one = trajectory()
    one.turns[1].token_ids, one.turns[1].logprobs = ids, [-1.0] * len(ids)
    write(tmp_path / "a.jsonl", [one])
    assert main(["view", str(tmp_path / "a.jsonl"), "--model", str(tiny_folder)]) == 0
    words = blocks((tmp_path / "a.html").read_text())["trajectory-1"]["sides"][0]["turns"][1]["words"]
    assert len(words) == len(ids) and "".join(words) == "blue 🟦 é"
    assert main(["view", str(tmp_path / "a.jsonl"), "--model", str(tmp_path)]) == 1
    assert "there is no tokenizer at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (None, [], "No such file or directory"),
        ("", [], "holds no trajectories"),
        ('{"task": 3, "prompt": []}\n', [], r"runs.jsonl:1: task: 3 is not an object"),
        ("{", [], "torn last line"),
        (..., ["--limit", "0"], "limit 0: want 1 or more"),
        (..., ["--videos", "FOLDER/none"], "none: is no folder; give the folder of the videos"),
        (..., ["--out", "FOLDER/runs.jsonl"], "the page would replace the trajectories"),
        (..., ["--out", "FOLDER"], "is a folder; give the path of a file to --out"),
        (..., ["--out", "FOLDER/runs.jsonl/x.html"], "File exists; name another --out"),
        (..., ["--other", "FOLDER/none.jsonl"], "none.jsonl: No such file"),
        (..., ["--serve", "--port", "70000"], "port 70000"),
        (..., ["--thumbnails.quality", "0"], "quality 0; want 1 to 100"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path, capsys, content, words, said):
    file = tmp_path / "runs.jsonl"
    if content is ...:
        write(file, [trajectory()])
    elif content is not None:
        file.write_text(content)
    assert main(["view", str(file), *(word.replace("FOLDER", str(tmp_path)) for word in words)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("eva view: ") and re.search(said, last)


def test_served_until_ctrl_c_and_no_file_is_written(tmp_path):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are begun deaf to it
    write(tmp_path / "a.jsonl", [trajectory()])
    line = [sys.executable, "-m", "eva_lightning", "view", str(tmp_path / "a.jsonl"), "--serve"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as served:
        address = served.stdout.readline().split()[0]
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert blocks(answer.read().decode())["list"]["names"] == ["a"]
        served.send_signal(signal.SIGINT)
        try:
            assert served.wait(10) == 0
        finally:
            served.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
