"""A collection with a teacher behind HTTP, killed as the kernel would and taken up as a user would; then what
it is for: marks, and rows that KTO reads. Once with a real vLLM server, once with a server that knows the
answers.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from eva_lightning.agent.dialects.eva import SYSTEM
from eva_lightning.cli import main
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.data.teaching.bill import read_bill
from eva_lightning.datamodules.feedback import FeedbackData
from eva_lightning.engines.vllm.adapter import installed
from eva_lightning.files.store import read
from eva_lightning.records import Trajectory
from tests.data.teaching.oracle_server import OracleServer
from tests.engines.test_server_engine import serving
from tests.system.vllm_servers import servers

pytestmark = pytest.mark.system

ATTEMPTS = 8


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Three clips of a minute with two questions each, no two of them worded alike."""
    settings = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    folder = tmp_path_factory.mktemp("world")
    made = build_world(folder, 3, settings, families=["colour_at", "mark_at"], open_share=1.0)
    assert len({task.text for task in made.tasks}) == len(made.tasks) == 6
    return made


def whole_lines(file):
    """A killed writer may leave a piece of a line; it is no trajectory."""
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []


def collecting(world, out, url, *more):
    """`eva collect` in a process of its own."""
    words = ["--tasks", str(world.folder), "--out", str(out), "--server", url]
    return subprocess.Popen(
        [sys.executable, "-m", "eva_lightning", "collect", *words, "--attempts", str(ATTEMPTS), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def killed_in_the_middle(running, out, enough):
    """The lines that are there when it is killed; at least `enough`."""
    while len(whole_lines(out)) < enough:
        assert running.poll() is None, running.communicate()[0][-3000:]
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    return whole_lines(out)


def keys(lines):
    rows = [json.loads(line) for line in lines]
    return [(row["task"]["id"], row.get("replica", 0)) for row in rows]


def everything(world):
    return sorted((task.id, replica) for task in world.tasks for replica in range(ATTEMPTS))


def told(printed):
    """The figures of the tables, by the names before them."""
    split = (line.rsplit(maxsplit=1) for line in printed.splitlines() if "  " in line)
    return {words[0]: words[-1] for words in split}


def test_a_killed_collection_becomes_marked_rows_of_both_kinds(world, tmp_path):
    """About a third of the trajectories guess; the others are the oracle's."""
    out, total = tmp_path / "attempts.jsonl", len(world.tasks) * ATTEMPTS
    teacher = OracleServer(world, wrong=3, pause=lambda number: time.sleep(0.05))
    with serving(teacher) as (url, asked):
        words = ["--coach", "--audit", "--concurrency", "4"]
        before = killed_in_the_middle(collecting(world, out, url, *words), out, enough=12)
        assert 12 <= len(before) < total
        printed = collecting(world, out, url, *words).communicate(timeout=60)[0]
        requests = len(asked)
    found = whole_lines(out)
    assert found[: len(before)] == before and sorted(keys(found)) == everything(world)
    assert "riefing" not in out.read_text() and f"{total} trajectories in {out}" in printed
    # What was under way when it was killed was asked for, and may not have come to the book.
    assert requests - 4 <= int(told(printed)["requests"]) <= requests
    marked = tmp_path / "feedback.jsonl"
    assert main(["label", "--trajectories", str(out), "--out", str(marked)]) == 0
    data = FeedbackData(str(marked), batch_size=4)
    data.setup("fit")
    made = read(out, Trajectory)
    guesses = sum(one.answer == "a guess" for one in made)
    assert 0 < guesses == data.n_undesirable and data.n_desirable == total - guesses
    batch = next(iter(data.train_dataloader()))
    assert len(batch) == 4 and {one.prompt[0].text for one in batch} == {SYSTEM}
    assert all(os.path.isfile(one.task.clips[0].path) for one in batch)


@pytest.mark.skipif(installed() is None, reason="vLLM is not installed: make vllm")
def test_a_real_server_teaches_through_a_kill_and_counts_what_it_read(world, tiny_folder, tmp_path, capsys):
    out, total = tmp_path / "attempts.jsonl", len(world.tasks) * ATTEMPTS
    with servers(tiny_folder, tmp_path, count=1) as (server,):
        words = ["--coach", "--concurrency", "4", "--agent.limits.turn_tokens=16"]
        words += ["--agent.limits.total_tokens=1024"]
        before = killed_in_the_middle(collecting(world, out, server.url, *words), out, enough=8)
        assert 8 <= len(before) < total
        printed = collecting(world, out, server.url, *words).communicate(timeout=60)[0]
        plain = ["collect", "--tasks", str(world.folder), "--server", server.url, "--agent.tools=[]"]
        plain += ["--agent.overview.frames=4"]
        assert main([*plain, "--out", str(tmp_path / "uniform.jsonl"), "--agent.limits.turn_tokens=8"]) == 0
    found = whole_lines(out)
    assert found[: len(before)] == before and sorted(keys(found)) == everything(world)
    made = read(out, Trajectory)
    assert not any(one.faults for one in made) and {one.prompt[0].text for one in made} == {SYSTEM}
    bill = read_bill(tmp_path / "attempts.cost.json").usage
    turns = sum(one.rounds for one in made)
    assert bill.requests >= turns and bill.unmetered == 0 and bill.failures == {}
    assert 8 * turns <= bill.written_tokens <= 16 * bill.requests
    assert told(printed)["prompt tokens"] == f"{bill.prompt_tokens:,}"
    shown = read_bill(tmp_path / "uniform.cost.json").usage
    assert (shown.requests, shown.images) == (6, 24) and shown.prompt_tokens > 24 * 16  # 112 x 112 pixels
    marked = tmp_path / "feedback.jsonl"
    assert main(["label", "--trajectories", str(out), "--out", str(marked)]) == 0
    assert "bad" in capsys.readouterr().out
    data = FeedbackData(str(marked))
    rows = data.read(data.sources[0])
    assert len(rows) == total and not any(one.desirable for one in rows)
