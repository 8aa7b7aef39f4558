"""`eva test` over a benchmark, as a user types it: a tiny policy, real clips, rows as EVA's release has them.

Twelve questions of a generated world and one whose video is missing. The policy is random: it calls no tool
and answers nothing, which is enough for everything that is about asking and writing down.
"""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.cli import main
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.teachers import Oracle
from eva_lightning.data.synthesis.world import build_world, load_world
from eva_lightning.files.store import read, write
from eva_lightning.records import Trajectory
from tests.files.small_disk import small_disk
from tests.reports.benchmarks.making_rows import SHAPE, row, rows_of, write_rows

ROOT = Path(__file__).parent.parent.parent
SMALL = ["--model.policy.dtype=float32", "--trainer.precision=32-true", "--trainer.accelerator=cpu"]
SMALL += ["--model.agent.limits.turn_tokens=4", "--model.concurrency=4"]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """A benchmark as one would name it in a config."""
    folder = tmp_path_factory.mktemp("benchmark")
    small = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    world = build_world(folder, 4, small, families=["colour_at"], per_family=3, open_share=0.0)
    rows = [*rows_of(world.tasks, "(A) "), row(99, "gone.mp4", text="What?\n(A) red\n(B) blue")]
    assert len(rows) == 13
    file = write_rows(folder / "rows.jsonl", rows)
    shape = SHAPE | {"option_style": "(A) "}
    return {"name": "Mine", "file": str(file), "videos": str(folder / "clips"), "shape": shape}


@pytest.fixture
def words(benchmark, tiny_folder, tmp_path):
    """The words of an `eva test` that writes to `tmp_path`."""
    named = ["--config", "benchmarks/lvbench.yaml", f"--model.policy.path={tiny_folder}", *SMALL]
    named += ["--model.engine=TransformersEngine", f"--data.benchmarks={json.dumps([benchmark])}"]
    return ["test", *named, f"--trainer.default_root_dir={tmp_path}", "--trainer.enable_progress_bar=false"]


@pytest.fixture
def mine(tmp_path):
    return tmp_path / "benchmarks" / "Mine"


def indices(folder):
    """Every question that is answered, as often as it is."""
    rows = [line for file in folder.glob("results*.jsonl") for line in file.read_text().splitlines()]
    return sorted(json.loads(line)["index"] for line in rows)


def said(folder):
    """What was written to which question, in the order in which they were answered."""
    return [(one.task.id, one.turns[0].text) for one in read(folder / "trajectories.jsonl", Trajectory)]


def test_what_is_answered_is_not_asked_again(words, mine, capsys):
    assert main([*words, "--limit", "5"]) == 0
    before = (mine / "trajectories.jsonl").read_bytes()
    assert indices(mine) == list(range(5))
    assert main(words) == 0
    after = (mine / "trajectories.jsonl").read_bytes()
    assert after.startswith(before) and indices(mine) == list(range(12))
    assert main(words) == 0
    assert (mine / "trajectories.jsonl").read_bytes() == after
    assert capsys.readouterr().out.count("Mine: 12 questions answered") == 2


def test_rows_that_can_not_be_asked_are_told_with_the_denominator(words, mine, capsys):
    assert main([*words, "--limit=2"]) == 0
    told = (mine / "report.txt").read_text()
    assert "Mine: 2 questions answered; 1 rows could not be asked: 1 missing video" in told
    assert told.strip() in capsys.readouterr().out


def test_a_killed_run_goes_on_after_its_last_whole_line(words, mine, capsys):
    assert main([*words, "--limit=4"]) == 0
    file = mine / "trajectories.jsonl"
    written = said(mine)
    file.write_bytes(file.read_bytes()[:-30])
    (mine / "results.jsonl").write_text("")
    assert main([*words, "--limit=4"]) == 0
    assert "cut a torn last line" in capsys.readouterr().err
    assert said(mine) == written  # greedy: the same words again


def test_other_settings_are_refused_in_one_line_until_a_fresh_start(
    words, mine, tiny_folder, tmp_path, capsys
):
    assert main([*words, "--limit=3"]) == 0
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    for other, name in (
        ("--model.evaluation.temperature=0.5", "temperature 0.0, and now it is 0.5"),
        (f"--model.policy.path={copy}", f"policy {str(tiny_folder)!r}, and now it is {str(copy)!r}"),
    ):
        capsys.readouterr()
        assert main([*words, other]) == 1
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("eva test: ") and f"holds answers with {name}" in line and "--fresh" in line
        assert indices(mine) == [0, 1, 2]
    assert main([*words, "--limit=2", "--fresh", "--model.evaluation.temperature=0.5"]) == 0
    assert indices(mine) == [0, 1]


@pytest.mark.parametrize("word", ["--retry-errors", "--retry_errors"])
def test_what_a_fault_ended_is_asked_again_when_told(word, words, mine, capsys):
    assert main([*words, "--limit=3"]) == 0
    first, *others = read(mine / "trajectories.jsonl", Trajectory)
    write(mine / "trajectories.jsonl", [replace(first, stop="fault", faults=["lost"]), *others])
    assert main([*words, "--limit=3"]) == 0
    told = capsys.readouterr().out
    assert "2 questions answered, 1 more ended by a fault (not counted; --retry_errors asks again)" in told
    assert main([*words, "--limit=3", word]) == 0
    assert "Mine: 3 questions answered;" in capsys.readouterr().out and indices(mine) == [0, 1, 2]
    assert [one.stop for one in read(mine / "trajectories.jsonl", Trajectory)] == ["turn_cut"] * 3


def test_two_ranks_share_the_questions_and_tell_them_once(words, mine, tmp_path, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "eva_lightning", *words, "--trainer.strategy=ddp", "--trainer.devices=2"],
            cwd=ROOT,
            env=os.environ
            | shared
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "TORCHELASTIC_RUN_ID": "t"},
            stdout=(tmp_path / f"{rank}.out").open("w"),
            stderr=subprocess.STDOUT,
        )
        for rank in (0, 1)
    ]
    try:
        for rank, one in enumerate(running):
            assert one.wait(timeout=120) == 0, (tmp_path / f"{rank}.out").read_text()[-2000:]
    finally:
        for one in running:
            one.kill()
    for suffix in ("", ".rank1"):
        assert len((mine / f"results{suffix}.jsonl").read_text().splitlines()) == 6
    assert indices(mine) == list(range(12))
    told = [(tmp_path / f"{rank}.out").read_text().count("Mine: 12 questions answered") for rank in (0, 1)]
    assert told == [1, 0]
    assert main(words) == 0  # one rank alone finds nothing left to ask
    assert indices(mine) == list(range(12)) and "12 questions answered" in capsys.readouterr().out


def test_a_fit_asks_the_same_few_questions_every_second_iteration(benchmark, tiny_folder, tmp_path):
    world = load_world(Path(benchmark["file"]).parent)
    dialect = EvaDialect()
    made = teach("oracle", Oracle(world.scripts, world.tasks, dialect), world.tasks[:4], 1, dialect, 0)
    write(tmp_path / "oracle.jsonl", made)
    words = ["fit", "--config", "sft.yaml", f"--model.policy.path={tiny_folder}", *SMALL]
    words += [
        f"--data.trajectories={tmp_path / 'oracle.jsonl'}",
        "--data.batch_size=1",
        "--data.eval_tasks=null",
    ]
    words += ["--trainer.max_steps=-1", "--trainer.limit_train_batches=4", "--trainer.max_epochs=1"]
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": str(tmp_path)}}
    words += [f"--trainer.default_root_dir={tmp_path}", f"--trainer.logger={json.dumps(logger)}"]
    asking = ["every=2", "limit=3", f"benchmarks={json.dumps([benchmark])}"]
    words += ["--trainer.enable_checkpointing=false", *(f"--benchmark.{word}" for word in asking)]
    assert main(words) == 0
    folders = sorted((tmp_path / "benchmarks").iterdir())
    assert [folder.name for folder in folders] == ["iteration-000002", "iteration-000004"]
    assert [indices(folder / "Mine") for folder in folders] == [[0, 4, 8]] * 2
    (metrics,) = tmp_path.rglob("metrics.csv")
    logged = [line for line in csv.DictReader(metrics.open()) if line.get("bench/Mine/accuracy")]
    assert [float(line["bench/Mine/questions"]) for line in logged] == [3.0, 3.0]

    # Again from the begin: what the first fit wrote is not taken for the answers of the second.
    file = folders[0] / "Mine" / "trajectories.jsonl"
    write(file, [replace(one, faults=["of another run"]) for one in read(file, Trajectory)])
    assert main(words) == 0
    assert [one.faults for one in read(file, Trajectory)] == [[]] * 3


def test_a_test_that_ran_out_of_room_is_one_line_and_goes_on(words, mine, capsys):
    assert main([*words, "--limit", "2"]) == 0
    room = (mine / "trajectories.jsonl").stat().st_size * 2
    with small_disk(room):
        assert main(words) == 1
    told = (
        f"eva test: {mine / 'trajectories.jsonl'}: can not be written (File too large); make room, and call"
    )
    assert told in capsys.readouterr().err
    assert 2 <= len(said(mine)) < 12
    assert main(words) == 0
    assert indices(mine) == list(range(12)) and len(said(mine)) == 12
