"""The page on a master that looks across videos, line by line as it is printed.

A tiny Qwen3 is really trained on scripts, and then asked about real clips through servers that see and grade.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.cli import main
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.store import read
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Task, Trajectory
from tests.engines.test_server_engine import says, serving
from tests.reports.benchmarks.crossvid_rows import QA

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agentcvr.md").read_text()
LINES = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A tiny Qwen3."""
    return build_tiny(tmp_path_factory.mktemp("qwen3"), corpus=agent_text(), family="qwen3")


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """CrossVid as one lays it out: questions, videos, and a folder of pictures with its boxes."""
    monkeypatch.chdir(tmp_path)
    small = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    build_world(tmp_path / "world", 1, small, families=["colour_at"])
    (clip,) = (tmp_path / "world" / "clips").glob("*.mp4")
    videos = Path("data/CrossVid/videos")
    (videos / "uav" / "frames" / "1" / "22-1").mkdir(parents=True)
    (videos / "uav" / "bbox" / "1").mkdir(parents=True)
    (videos / "uav" / "drawn").mkdir()
    for number in range(8):
        Image.new("RGB", (160, 120), (number * 30, 90, 90)).save(
            videos / "uav" / "frames" / "1" / "22-1" / f"{number:04}.jpg"
        )
    (videos / "uav" / "bbox" / "1" / "22.json").write_text(json.dumps([{"id": 18, "bbox": {}}]))
    for name in ("a", "b", "uav/drawn/MSR-0-1", "uav/drawn/MSR-0-2", "uav/drawn/MOC-0-2"):
        shutil.copy(clip, videos / f"{name}.mp4")
    Path("data/CrossVid/QA").mkdir()
    for kind, rows in QA.items():
        Path(f"data/CrossVid/QA/{kind}.json").write_text(json.dumps(rows))


def configs_for(url):
    """Copies of the page's configs that name the server of the test."""
    for name in ("benchmarks/crossvid.yaml", *(f"agentcvr/{one}.yaml" for one in ("grpo_4b", "videos"))):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(re.sub(r"http://localhost:800\d", url, (ROOT / "configs" / name).read_text()))


def small(words, policy):
    """The words of a line, and what makes it end in seconds on a CPU."""
    words = [{"2000": "40", "200": "10"}.get(word, word) for word in words]
    if words[0] == "collect":
        words += ["--concurrency", "4", "--agent.limits.turn_tokens=16"]
    if words[0] in ("fit", "test"):
        words += ["--model.policy.dtype=float32", "--trainer.precision=32-true", "--trainer.accelerator=cpu"]
        words += ["--model.agent.limits.turn_tokens=16", "--model.concurrency=4"]
    if words[0] == "test":
        words += ["--model.engine=TransformersEngine"]
    if words[0] == "fit":
        words += ["--data.batch_size=2", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
        words += ["--data.eval_limit=2", "--trainer.limit_val_batches=1"]
        words += ["--model.attempts=2"] if "grpo" in words[2] else [f"--model.policy.path={policy}"]
    return words


def test_every_line_of_the_page_works(brought, reader, capsys):
    lines = sorted(LINES, key=lambda line: line.startswith("eva test"))  # what is drawn is asked about
    with serving(lambda number, body: says("nothing")) as (url, _):
        configs_for(url)
        for line in lines:
            command, *words = shlex.split(line)
            assert command == "eva"
            assert main(small(words, reader)) == 0, f"{line}\n{capsys.readouterr().err}"
    tasks, held_out = (read(f"data/scripts/{name}.jsonl", Task) for name in ("tasks", "held_out"))
    assert (len(tasks), len(held_out)) == (30, 10)
    assert len({one.source for one in held_out}) == 10
    answers = read("data/answers.jsonl", Trajectory)
    assert {one.task.id for one in answers} == {one.id for one in held_out}
    assert all(one.stop != "fault" for one in answers)
    assert Path("runs/agentcvr/grpo_4b/export/final/config.json").exists()
    assert Path("runs/agentcvr/answers.html").stat().st_size > 10_000
    told = Path("runs/benchmarks-agentcvr/benchmarks/CrossVid.txt").read_text()
    assert re.search(r"^overall +10 ", told, re.MULTILINE) and "42.03%" in told
    for kind in QA:
        (one,) = read(f"runs/benchmarks-agentcvr/benchmarks/{kind}/trajectories.jsonl", Trajectory)
        assert one.stop != "fault" and "seconds" in one.messages[1].text  # the lengths of real clips
