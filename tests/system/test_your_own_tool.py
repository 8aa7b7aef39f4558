"""The page "A tool of your own", block by block as it is printed, in a folder that holds nothing else."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.store import read
from eva_lightning.records import Trajectory

pytestmark = pytest.mark.system

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-tool.md").read_text()
BLOCKS = re.findall(r"```(python|yaml|bash)\n(.*?)```", PAGE, re.DOTALL)


def blocks(kind):
    return [text for name, text in BLOCKS if name == kind]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_folder):
    """What the page has: the tool, two configs, a video, a tiny policy and a world."""
    place = tmp_path_factory.mktemp("own")
    small = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    world = build_world(place / "world", 2, small, families=["colour_at"], per_family=2, open_share=1.0)
    shutil.copy(place / "world" / "clips" / f"{world.scripts[0].id}.mp4", place / "talk.mp4")
    shutil.copytree(tiny_folder, place / "tiny")
    (place / "zoom.py").write_text(blocks("python")[0])
    for text in blocks("yaml"):
        (place / text.partition("\n")[0].removeprefix("# ")).write_text(text)
    return place


def run(folder, *words):
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_tool_has_twenty_lines_of_code_between_its_imports_and_its_end():
    body = blocks("python")[0].split("class Zoom", 1)[1]
    assert len([line for line in body.splitlines() if line.strip()]) <= 20


def test_a_rollout_calls_it_and_the_frame_is_the_one_that_was_asked_for(folder):
    assert run(folder, "-c", blocks("python")[1]) == "answered [3.0]\n"


@pytest.mark.parametrize("line", [line for text in blocks("bash") for line in text.splitlines()])
def test_a_line_of_the_page_runs(line, folder):
    words = shlex.split(line)
    words += ["--agent.limits.turn_tokens=8"] if words[1] == "ask" else []
    said = run(folder, "-m", "eva_lightning", *words[1:])
    if words[1] == "ask":
        prompt = int(said.partition("= prompt ")[2].split()[0])
        assert "What is on the table?" in said and prompt > 400  # the plain opening has some 70
    if words[1] == "collect":
        made = list(read(folder / "zoomed.jsonl", Trajectory))
        assert made and all("- second: the moment to look at" in one.prompt[0].text for one in made)
        settings = json.loads((folder / "zoomed.settings.json").read_text())
        assert settings["agent.tools"][0] == {"class": "Zoom"}
    if words[1] == "fit":
        assert list((folder / "runs" / "zoom" / "checkpoints").glob("*"))
