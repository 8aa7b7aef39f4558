"""An evaluation with a real vLLM server, killed twice as the kernel would, and taken up as a user would."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.engines.vllm.adapter import installed
from tests.reports.benchmarks.making_rows import SHAPE, rows_of, write_rows
from tests.system.vllm_servers import servers

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(installed() is None, reason="vLLM is not installed: make vllm"),
]

VIDEOS, QUESTIONS = 20, 200
KILLED_AFTER = (40, 110)
"""Answers that are there when the evaluation is killed."""


def whole_lines(file):
    """A killed writer may leave a piece of a line; it is no answer."""
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []


def ids(lines):
    return [json.loads(line)["task"]["id"] for line in lines]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Two hundred questions about twenty clips, in the form of EVA's release."""
    folder = tmp_path_factory.mktemp("benchmark")
    small = ScriptSettings(duration=(60, 60), height=112, width=112, fps=1)
    families = ["colour_at", "mark_at", "shape_at"]
    world = build_world(folder, VIDEOS, small, families=families, per_family=4, open_share=0.0)
    made = rows_of(world.tasks)
    asked = [made[i * len(made) // QUESTIONS] for i in range(QUESTIONS)]
    assert len(asked) == QUESTIONS and len({one["videos"][0] for one in asked}) == VIDEOS
    return write_rows(folder / "rows.jsonl", asked)


def test_killed_twice_it_answers_every_question_once(rows, tiny_folder, tmp_path):
    file = tmp_path / "out" / "benchmarks" / "Mine" / "trajectories.jsonl"
    benchmark = {"name": "Mine", "file": str(rows), "videos": str(rows.parent / "clips"), "shape": SHAPE}
    with servers(tiny_folder, tmp_path, count=1) as (server,):
        engine = {"class_path": "VLLMServerEngine", "init_args": {"urls": [server.url]}}
        words = ["--config", "benchmarks/lvbench.yaml", f"--model.policy.path={tiny_folder}"]
        words += ["--model.policy.dtype=float32", "--trainer.precision=32-true", "--trainer.accelerator=cpu"]
        words += [f"--model.engine={json.dumps(engine)}", "--model.concurrency=8"]
        words += ["--model.agent.limits.turn_tokens=16", f"--data.benchmarks={json.dumps([benchmark])}"]
        words += [f"--trainer.default_root_dir={tmp_path / 'out'}"]

        def evaluate():
            return subprocess.Popen(
                [sys.executable, "-m", "eva_lightning", "test", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )

        before = []
        for enough in KILLED_AFTER:
            running = evaluate()
            while len(whole_lines(file)) < enough:
                assert running.poll() is None, running.communicate()[0][-3000:]
                time.sleep(0.01)
            running.send_signal(signal.SIGKILL)
            running.communicate()
            found = whole_lines(file)
            assert enough <= len(found) < QUESTIONS and found[: len(before)] == before
            before = found
        told = evaluate().communicate(timeout=120)[0]
    assert f"Mine: {QUESTIONS} questions answered\n" in told
    found = whole_lines(file)
    assert found[: len(before)] == before and len(found) == QUESTIONS
    assert len(set(ids(found))) == QUESTIONS
    results = [json.loads(line)["id"] for line in whole_lines(file.with_name("results.jsonl"))]
    assert results == ids(found)
    assert not any(json.loads(line).get("faults") for line in found)
