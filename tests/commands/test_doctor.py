"""eva doctor: lines or one JSON object, and an exit status that a script can trust."""

import json
import subprocess
import sys

import pytest

from eva_lightning.cli import main
from eva_lightning.engines.vllm.adapter import installed

needs_vllm = pytest.mark.skipif(installed() is None, reason="vLLM is not installed: `make vllm` installs it")


def by_itself(*words):
    """vLLM in a process of its own: what it writes past Python must not be among our lines, and where it
    fails to start it leaves pytest's own files closed.
    """
    words = [sys.executable, "-m", "eva_lightning", "doctor", "--engine", "vllm", *words]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


@needs_vllm
def test_vllm_on_the_tiny_policy_is_sound_and_says_so_in_one_object():
    done = by_itself("--json")
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout
    assert said.count("\n") == 1
    row = json.loads(said)
    assert 0 < row["max_abs_logprob_difference"] == max(row["by_images"].values()) <= 5e-5
    assert list(row["by_images"]) == ["0", "1", "4", "16"] and row["tokens"] > 1000
    assert 0 < row["after_push"]["max_abs_logprob_difference"] <= 5e-5
    assert (row["vision_change_seen"], row["greedy_equal"], row["problems"]) == (True, True, [])
    assert row["sleep_keeps_policy"] in (None, True)  # it sleeps on GPUs only
    assert row["installation"]["vllm"]["level"] == "ok"


def test_the_trainer_s_own_engine_needs_no_push(tiny_folder, capsys):
    words = ["doctor", "--engine", "transformers", "--model", str(tiny_folder)]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"transformers with {tiny_folder}:" in lines
    found = [line for line in lines if "log-probs" in line]
    assert len(found) == 4 and all(line.startswith("ok ") for line in found)
    assert any(line.startswith("ok       torch  ") for line in lines)
    assert main([*words, "--json", "--dtype", "bfloat16"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["dtype"] == "bfloat16" and 1e-4 < row["mean_abs_logprob_difference"] <= 0.02
    assert row["after_push"]["max_abs_logprob_difference"] is row["vision_change_seen"] is None


@needs_vllm
def test_an_engine_that_does_not_start_is_a_problem_and_a_status():
    done = by_itself("--settings.options", '{"quantization": "no-such"}')
    assert done.returncode == 1
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("problem")]
    assert "vLLM does not start" in row and "no-such" in row
    assert done.stderr.splitlines()[-1] == "eva doctor: 1 to solve: engine"


def test_a_missing_vllm_is_said_before_anything_is_loaded(monkeypatch, capsys):
    monkeypatch.setattr("eva_lightning.reports.diagnosis.installation.installed", lambda: None)
    assert main(["doctor", "--engine", "vllm", "--json"]) == 1
    said = capsys.readouterr()
    row = json.loads(said.out)
    assert (
        row["problems"] == ["vllm"] and row["max_abs_logprob_difference"] is None and row["by_images"] == {}
    )
    assert said.err == "eva doctor: 1 to solve: vllm; no engine was measured\n"


@pytest.mark.parametrize(
    "words, said",
    [
        (["--engine", "server"], "--engine server needs --urls"),
        (["--engine", "vllm", "--urls", "http://localhost:1"], "--urls are addresses of servers"),
        (["--urls", "http://localhost:1"], "name with --model the checkpoint"),
    ],
)
def test_words_that_do_not_go_together_are_refused(words, said, capsys):
    assert main(["doctor", *words]) == 1
    assert capsys.readouterr().err.startswith(f"eva doctor: {said}")
