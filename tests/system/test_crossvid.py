"""The CrossVid config through the real command: ten kinds, a judge behind HTTP, one mean beside others'."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from eva_lightning.cli import main
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.store import read, write
from eva_lightning.records import Trajectory
from tests.engines.test_server_engine import says, serving
from tests.reports.benchmarks.crossvid_rows import GOLDS, QA

pytestmark = pytest.mark.system

CONFIG = Path(__file__).parents[2] / "configs" / "benchmarks" / "crossvid.yaml"


@pytest.fixture
def laid_out(tmp_path, monkeypatch):
    """The folder of the config, with two videos of ours in the place of theirs."""
    small = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    build_world(tmp_path / "world", 1, small, families=["colour_at"])
    (clip,) = (tmp_path / "world" / "clips").glob("*.mp4")
    qa, videos = tmp_path / "data" / "CrossVid" / "QA", tmp_path / "data" / "CrossVid" / "videos"
    (videos / "uav" / "drawn").mkdir(parents=True)
    qa.mkdir()
    drawn = [f"uav/drawn/{kind}-0-{view}.mp4" for kind in ("MSR", "MOC") for view in "12"]
    for name in ("a.mp4", "b.mp4", *drawn):
        shutil.copy(clip, videos / name)
    for kind, rows in QA.items():
        (qa / f"{kind}.json").write_text(json.dumps(rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(url, tiny, *more):
    config = yaml.safe_load(CONFIG.read_text())
    for one in config["data"]["init_args"]["benchmarks"]:
        if "reward" in one:
            one["reward"]["init_args"]["judge"]["init_args"]["url"] = url
    Path("crossvid.yaml").write_text(yaml.safe_dump(config))
    words = ["test", "--config", "crossvid.yaml", f"--model.policy.path={tiny}", "--trainer.accelerator=cpu"]
    words += ["--model.policy.dtype=float32", "--model.engine=TransformersEngine"]
    return main([*words, "--model.agent.limits.turn_tokens=1", *more])


def half(number, body):
    """A judge that finds every point missing but the first."""
    first = "1 uses toast" in body["messages"][0]["content"]
    return says(json.dumps({"reason": "so", "verdict": "correct" if first else "missing"}))


def test_ten_kinds_are_asked_graded_and_told_as_one(laid_out, tiny_folder, capsys):
    runs = laid_out / "runs" / "benchmarks"
    with serving(half) as (url, heard):
        assert asked(url, tiny_folder, "--trainer.default_root_dir", str(runs)) == 0
        told = (runs / "benchmarks" / "CrossVid.txt").read_text()
        assert "AgentCVR-8B (published)" in told and "42.03%" in told and "overall " in told
        assert heard == []  # nothing was answered, so nothing is to be graded
        for kind, gold in GOLDS.items():  # as if the policy knew everything, but for CCQA
            file = runs / "benchmarks" / kind / "trajectories.jsonl"
            (one,) = read(file, Trajectory)
            one.answer, one.stop, one.scores = (gold if kind != "CCQA" else "toast, dough"), "answered", {}
            write(file, [one])
        assert asked(url, tiny_folder, "--trainer.default_root_dir", str(runs)) == 0
        assert len(heard) == 2
    row = {
        line.split()[0]: line.split()
        for line in (runs / "benchmarks" / "CrossVid.txt").read_text().splitlines()
        if line
    }
    assert row["CCQA"][1:4] == ["1", "50.00%", "-"]
    assert row["overall"][1:4] == ["10", "95.00%", "42.03%"]
    assert row["multi-view"][2] == "100.00%"
    (graded,) = read(runs / "benchmarks" / "CCQA" / "trajectories.jsonl", Trajectory)
    assert graded.scores["points"].reason.startswith("correct, missing (judge tiny")
