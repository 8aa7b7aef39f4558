"""What earlier versions wrote is read: rows, settings beside them, and a checkpoint of each stage.

The commands that are called here wrote `fixtures/version-1`: a world of two clips, attempts, marks, and a fit
of each config. The checkpoint of SFT is from before checkpoints said their version.
"""

import shutil
from pathlib import Path

import pytest
import torch

from eva_lightning.cli import main
from eva_lightning.data.synthesis.render import render
from eva_lightning.data.synthesis.script import Script
from eva_lightning.data.teaching.filters import Dropped
from eva_lightning.files.store import line, read
from eva_lightning.modules.checkpoint_version import VERSION
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.benchmarks.result import Result
from eva_lightning.rewards.judging.rulings import Ruling

pytestmark = pytest.mark.system

KEPT = Path(__file__).parent.parent / "fixtures" / "version-1"
ROWS = dict.fromkeys(("oracle", "attempts", "feedback", "ids"), Trajectory)
ROWS |= {"tasks": Task, "held_out": Task, "scripts": Script}
ROWS |= {"dropped": Dropped, "results": Result, "rulings": Ruling}


@pytest.fixture
def kept(tmp_path, tiny_folder, monkeypatch):
    """A copy of it with its clips, which is where commands run."""
    shutil.copytree(KEPT, tmp_path, dirs_exist_ok=True)
    (tmp_path / "tiny").symlink_to(tiny_folder)
    for script in read(tmp_path / "scripts.jsonl", Script):
        render(script, tmp_path / "clips" / f"{script.id}.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_read_and_written_again_to_the_byte(name):
    text = (KEPT / f"{name}.jsonl").read_text()
    assert "".join(map(line, read(KEPT / f"{name}.jsonl", ROWS[name]))) == text


def test_a_collection_goes_on_beside_its_settings(kept, capsys):
    before = (kept / "attempts.jsonl").read_text()
    assert main("collect --tasks tasks.jsonl --oracle --attempts 3 --out attempts.jsonl".split()) == 0
    after = (kept / "attempts.jsonl").read_text()
    assert after.startswith(before) and len(after.splitlines()) == 6
    assert (
        main("collect --tasks tasks.jsonl --oracle --agent.temperature 0 --out attempts.jsonl".split()) == 1
    )
    assert "attempts made with agent.temperature 1.0, and now it is 0" in capsys.readouterr().err


def test_a_world_is_the_one_that_its_settings_say(kept):
    said = "--videos 2 --held_out 1 --per_family 1 --attempts 1 --settings.duration [30,30] --settings.fps 2"
    said += " --settings.height 112 --settings.width 112 --families [colour_at,when] --out ."
    assert main(["synthesize", "world", *said.split()]) == 0
    for name in ("tasks.jsonl", "scripts.jsonl"):
        assert (kept / name).read_text() == (KEPT / name).read_text()


@pytest.mark.parametrize(("stage", "done"), [("sft", 1), ("kto", 1), ("grpo", 4)])
def test_a_checkpoint_is_gone_on_from(kept, stage, done):
    words = f"fit --config ./{stage}.yaml --ckpt_path {stage}.ckpt --trainer.max_epochs {done + 1}"
    assert main([*words.split(), "--trainer.limit_train_batches=1"]) == 0
    last = torch.load(kept / f"runs/{stage}/checkpoints/last.ckpt", weights_only=True)
    assert last["iteration"] > done and last["eva_lightning"] == {"version": VERSION}


def test_a_checkpoint_of_a_later_version_is_refused_in_a_line(kept, capsys):
    later = torch.load(kept / "kto.ckpt", weights_only=True) | {"eva_lightning": {"version": VERSION + 1}}
    torch.save(later, kept / "later.ckpt")
    assert main("fit --config ./kto.yaml --ckpt_path later.ckpt".split()) == 1
    told = f"eva fit: the checkpoint is of version {VERSION + 1}, and versions 1 to {VERSION} can be gone on "
    assert told + "from; install the eva_lightning that wrote it\n" in capsys.readouterr().err
