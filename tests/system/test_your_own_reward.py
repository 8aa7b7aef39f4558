"""The page "A reward of your own", block by block as it is printed."""

import shlex
import subprocess
import sys

import pytest

from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from tests.modules.stages import teach
from tests.system.pages import blocks, commands, lay_out, status

pytestmark = pytest.mark.system

PAGE = "docs/your-own-reward.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_folder):
    """What the page has: the reward, a config, a world with what its oracle does, a tiny policy."""
    from eva_lightning.files.store import write

    place = tmp_path_factory.mktemp("own")
    (place / "terse.py").write_text(blocks(PAGE, "python")[0].text)
    lay_out(PAGE, place)
    small = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    world = build_world(place / "world", 2, small, families=["colour_at"], per_family=2, open_share=1.0)
    write(place / "world" / "oracle.jsonl", teach(world, tiny_folder, 2))
    (place / "tiny").symlink_to(tiny_folder)
    return place


def run(folder, *words):
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_by_hand_it_says_what_a_trajectory_is_worth_and_why(folder):
    assert run(folder, "-c", blocks(PAGE, "python")[1].text).startswith("0.0 0.0 the longest turn has ")


@pytest.mark.parametrize("line", commands(PAGE))
def test_a_line_of_the_page_runs(line, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    ended = status(shlex.split(line)[1:])
    said = capsys.readouterr()
    assert ended == 0, said.err[-2000:]
    if "--print_config" in line:
        assert "class_path: terse.Terse" in said.out and "words: 4" in said.out
    else:
        (log,) = (folder / "runs" / "terse").rglob("events.*")
        assert b"reward/terse" in log.read_bytes()
