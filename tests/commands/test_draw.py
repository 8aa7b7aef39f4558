"""Folders of pictures become videos with boxes, through the command; the pixels say so."""

import json

import pytest
from PIL import Image

from eva_lightning.cli import main
from eva_lightning.video.frame_store import FrameStore

BOX = {"xtl": 20, "ytl": 40, "xbr": 80, "ybr": 90}


@pytest.fixture
def laid_out(tmp_path, monkeypatch):
    """Twelve grey pictures, a question about one of two objects, and its boxes in the first six of them."""
    (tmp_path / "frames" / "22-1").mkdir(parents=True)
    (tmp_path / "bbox").mkdir()
    for number in range(12):
        Image.new("RGB", (160, 120), (90, 90, 90)).save(tmp_path / "frames" / "22-1" / f"{number:04}.png")
    held = {str(number): BOX if number < 6 else None for number in range(12)}
    (tmp_path / "bbox" / "22.json").write_text(json.dumps([{"id": 18, "bbox": held}, {"id": 9, "bbox": {}}]))
    row = {
        "id": 0,
        "vid": 22,
        "objects": [{"id": 18}, {"id": 9}],
        "question": "Where is {A1}, seen from {B2}?",
    }
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    monkeypatch.chdir(tmp_path)
    return row


WORDS = ["draw", "--rows", "rows.json", "--pictures", "frames/{vid}-1", "--boxes", "bbox/{vid}.json"]
WORDS += ["--out", "drawn/{id}-1.mp4", "--fps", "4"]


def test_a_box_is_drawn_where_the_object_is_and_when(laid_out, capsys):
    assert main(WORDS) == 0
    store = FrameStore()
    with_box, without = (
        one.pixels.astype(int) for one in store.frames("drawn/0-1.mp4", [0.1, 2.9], 112, 168)
    )
    assert (with_box[..., 0] - with_box[..., 2]).max() > 80  # red
    assert abs(without[..., 0] - without[..., 2]).max() < 30
    assert "1 videos made, 0 were there" in capsys.readouterr().out
    assert main(WORDS) == 0 and "0 videos made, 1 were there" in capsys.readouterr().out
    store.close()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"vid": 23}, "no folder frames/23-1"),
        ({"objects": []}, "names {A1}, and there is no such object"),
        ({"objects": [{"id": 7}]}, "no boxes of object 7"),
    ],
)
def test_a_row_that_can_not_be_drawn_is_told_in_one_line(laid_out, tmp_path, capsys, changed, said):
    (tmp_path / "rows.json").write_text(json.dumps([laid_out | changed]))
    assert main(WORDS) != 0
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in err and "rows.json row 1" in err
    assert not list(tmp_path.glob("drawn/*"))
