import asyncio
import shutil

import pytest

from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.callbacks import IterationCheckpoint, QuarantineList
from eva_lightning.faults import VideoError
from eva_lightning.files.store import read
from eva_lightning.records import Clip
from eva_lightning.video.frame_store import FrameStore
from eva_lightning.video.quarantine import LeftOut
from tests.callbacks.acting import Acting, fit, loader, trainer
from tests.making import StillWorld
from tests.video import footage


class Looking(Acting):
    """Looks at one clip in every iteration, and remembers what it was told."""

    def __init__(self, path, world=None, **more):
        super().__init__(**more)
        self.world = world or VideoWorld(FrameStore(device="pyav"))
        self.clip, self.said = Clip(id="v", path=str(path)), []

    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)
        self._look()

    def test_step(self, batch, batch_idx):
        super().test_step(batch, batch_idx)
        self._look()

    def _look(self):
        try:
            asyncio.run(self.world.look(self.clip, [0.0], 28, 28))
            self.said.append("seen")
        except VideoError as fault:
            self.said.append(str(fault))


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_text("no video\n" * 100)
    return path


def left_out(module):
    return ["left out" in said for said in module.said]


def test_a_video_that_failed_three_times_is_listed_in_the_folder_and_at_the_end(tmp_path, broken, capsys):
    module = Looking(broken)
    fit(tmp_path, module, [QuarantineList()], iterations=5)
    assert left_out(module) == [False, False, False, True, True]
    (row,) = read(tmp_path / "quarantine.jsonl", LeftOut)
    assert (row.path, row.failures) == (str(broken), 3)
    printed = capsys.readouterr().out
    assert f"1 video is left out, as {tmp_path}/quarantine.jsonl says" in printed
    assert f"  {broken}: can not be read as a video" in printed


def test_a_fit_that_goes_on_leaves_it_out_at_once_and_another_run_tries_again(tmp_path, broken):
    saving = [QuarantineList(), IterationCheckpoint(every=1)]
    fit(tmp_path, Looking(broken), saving, iterations=4)
    (written,) = tmp_path.rglob("*4.ckpt")
    checkpoint = shutil.copy(written, tmp_path / "kept.ckpt")  # the fits below go on from it, too
    saving = [QuarantineList(), IterationCheckpoint(every=1)]
    more = Looking(broken)
    fit(tmp_path, more, saving, iterations=2, ckpt_path=str(checkpoint), max_epochs=2)
    assert left_out(more) == [True, True]
    anew = Looking(broken)
    trainer(tmp_path, [QuarantineList()]).test(anew, loader(4), verbose=False)
    assert left_out(anew) == [False, False, False, True]
    footage.write(broken, times=[0.0, 0.04])
    mended = Looking(broken)
    saving = [QuarantineList(), IterationCheckpoint(every=1)]
    fit(tmp_path, mended, saving, iterations=2, ckpt_path=str(checkpoint), max_epochs=2)
    assert mended.said == ["seen", "seen"]


def test_where_nothing_is_left_out_nothing_is_said(tmp_path, capsys):
    whole = footage.write(tmp_path / "whole.mp4", times=[0.0, 0.04]).path
    for module in (Looking(whole), Looking(whole, world=StillWorld())):
        fit(tmp_path, module, [QuarantineList()], iterations=4)
    assert not (tmp_path / "quarantine.jsonl").exists()
    assert "left out" not in capsys.readouterr().out
