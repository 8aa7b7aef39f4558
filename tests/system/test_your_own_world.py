"""The page "A world of your own", block by block as it is printed."""

import shlex
import zipfile
from io import BytesIO

import pytest
from PIL import Image

from eva_lightning.cli import main
from eva_lightning.files.store import read, write
from eva_lightning.records import Clip, Trajectory
from eva_lightning.reports.app.server import AppServer
from eva_lightning.reports.app.uploads import Refused
from tests.making import task
from tests.system.pages import blocks, commands, lay_out

pytestmark = pytest.mark.system

PAGE = "docs/your-own-world.md"
COLOURS = ("red", "lime", "blue")


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny_folder):
    """What the page has: the world, its config, a zip of three slides, a task and a tiny policy."""
    (tmp_path / "slides.py").write_text(blocks(PAGE, "python")[0].text)
    lay_out(PAGE, tmp_path)
    with zipfile.ZipFile(tmp_path / "deck.zip", "w") as held:
        for number, colour in enumerate(COLOURS):
            Image.new("RGB", (160, 120), colour).save(tmp_path / f"{number}.png")
            held.write(tmp_path / f"{number}.png", f"{number}.png")
    (tmp_path / "tiny").symlink_to(tiny_folder)
    write(tmp_path / "tasks.jsonl", [task(clips=(Clip(id="deck", path="deck.zip"),))])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "slides", raising=False)
    return tmp_path


def test_every_line_of_the_page_works(folder, capsys):
    for line in commands(PAGE):
        words = shlex.split(line)[1:]
        words += ["--agent.limits.turn_tokens=8"] if words[0] != "replay" else []
        assert main(words) == 0, f"{line}\n{capsys.readouterr().err}"
    assert len(read(folder / "attempts.jsonl", Trajectory)) == 2
    assert "2 of 2 trajectories are made again as they were recorded" in capsys.readouterr().out


def test_what_is_shown_is_the_slide_of_that_second_and_a_broken_zip_is_a_fault(folder, capsys):
    import asyncio

    from slides import Slides

    from eva_lightning.faults import VideoError

    world, deck = Slides(), Clip(id="deck", path="deck.zip")
    assert world.describe(deck).duration == 3
    seen = asyncio.run(world.look(deck, [0.0, 1.9, 99.0], 28, 56))
    assert [one.time for one in seen] == [0.0, 1.0, 2.0]
    pixels = [world.pixels(deck, one.content)[0, 0].tolist() for one in seen]
    assert pixels == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    (folder / "deck.zip").write_text("no zip")
    with pytest.raises(VideoError, match=r"^deck.zip: holds no slides"):
        world.describe(deck)
    assert main(["ask", "deck.zip", "What?", "--model", "tiny", "--config", "slides.yaml"]) == 1
    assert "deck.zip: holds no slides (File is not a zip file)" in capsys.readouterr().err


def test_eva_app_takes_what_the_world_shows_and_nothing_else(folder, monkeypatch):
    said = []

    def visit(server):
        deck = (folder / "deck.zip").read_bytes()
        said.append(server.uploads.take("deck.zip", len(deck), BytesIO(deck)).facts.duration)
        with pytest.raises(Refused, match=r"^film.zip: holds no slides"):
            server.uploads.take("film.zip", 3, BytesIO(b"mp4"))
        raise KeyboardInterrupt  # as its user would

    monkeypatch.setattr(AppServer, "serve_forever", visit)
    assert main(["app", "--model", "tiny", "--config", "slides.yaml"]) == 0
    assert said == [3]
