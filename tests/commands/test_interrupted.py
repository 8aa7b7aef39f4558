"""Ctrl-C in the middle of a command: 130, one line, whole files, and the same command goes on."""

import os
import signal

import pytest

from eva_lightning.cli import main
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.store import read
from eva_lightning.records import Trajectory
from tests.engines.test_server_engine import says, serving


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    settings = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
    return build_world(tmp_path_factory.mktemp("world"), 1, settings, families=["colour_at", "when"])


@pytest.fixture(autouse=True)
def hearing():
    """A shell's background jobs are begun deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pressed_at(turn):
    """A server whose reader presses Ctrl-C while it writes that turn."""

    def answer(number, body):
        if number == turn:
            os.kill(os.getpid(), signal.SIGINT)
        return says("<answer>blue</answer>")

    return answer


def test_a_collection_keeps_what_is_done_and_goes_on(world, tmp_path, capsys):
    words = (
        f"collect --tasks {world.folder} --out {tmp_path / 'o.jsonl'} --attempts 4 --concurrency 1".split()
    )
    with serving(pressed_at(3)) as (url, _):
        assert main([*words, "--server", url]) == 130
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.endswith(
            "eva collect: interrupted; what was written is kept; the same command goes on from there"
        )
        kept = read(tmp_path / "o.jsonl", Trajectory)
        assert len(kept) == 2
        assert main([*words, "--server", url]) == 0
    made = read(tmp_path / "o.jsonl", Trajectory)
    assert made[:2] == kept and len({(one.task.id, one.replica) for one in made}) == len(made) == 8


def test_a_question_leaves_nothing_behind(world, capsys, tmp_path):
    clip = next((world.folder / "clips").glob("*.mp4"))
    with serving(pressed_at(1)) as (url, _):
        words = ["ask", str(clip), "What?", "--server", url, "--frames", str(tmp_path / "seen.png")]
        assert main(words) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "eva ask: interrupted; what was written is kept"
    assert list(tmp_path.iterdir()) == []
