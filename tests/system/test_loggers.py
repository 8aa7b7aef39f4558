"""The page "Where a run is seen", line by line; and the same pictures and tables in every logger it names."""

import html
import io
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from eva_lightning.callbacks import TrajectoryLog
from eva_lightning.cli import main
from eva_lightning.reports.contact_sheet import contact_sheet
from eva_lightning.reports.trajectory_tables import tables
from tests.callbacks.acting import Acting, fit
from tests.making import trajectory
from tests.system.mlflow_server import mlflow_server
from tests.system.pages import blocks, commands, lay_out

pytestmark = pytest.mark.system

PAGE = "docs/loggers.md"
LINES = commands(PAGE)


def shown():
    """Frames, and an answer that would break a table that is put together badly."""
    return trajectory(answer="a|b\n<i>\x00 ü")


def noise(ref):
    """Frames of which no two are alike."""
    return np.random.default_rng(int(ref.time)).integers(0, 256, (ref.height, ref.width, 3), np.uint8)


class Coloured(Acting):
    def pixels(self, made):
        return noise

    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)
        self.rollouts = [shown()]


def pixels(file):
    return np.asarray(Image.open(file).convert("RGB"))


def from_tensorboard(folder, tag):
    board = EventAccumulator(str(folder), size_guidance={"tensors": 0, "images": 0})
    board.Reload()
    text = board.Tensors(f"{tag}/text_summary")[0].tensor_proto.string_val[0].decode()
    found = {}
    for name, block in zip(("facts", "turns"), text.split("\n\n"), strict=True):
        lines = [line[2:-2].split(" | ") for line in block.splitlines() if not line.startswith("|---")]
        found[name] = [[html.unescape(cell.replace("<br>", "\n")) for cell in line] for line in lines]
    return pixels(io.BytesIO(board.Images(tag)[0].encoded_image_string)), found


def from_wandb(folder, tag):
    (media,) = Path(folder).glob("wandb/offline-run-*/files/media")
    (picture,) = media.glob(f"images/{tag}/frames_*.png")
    found = {}
    for name in ("facts", "turns"):
        (file,) = media.glob(f"table/{tag}/{name}_*.table.json")
        row = json.loads(file.read_text())
        found[name] = [row["columns"], *row["data"]]
    return pixels(picture), found


def from_mlflow(address, run, step, tag, folder):
    """What the server keeps, fetched over HTTP."""
    from mlflow import MlflowClient

    client, found = MlflowClient(address), {}
    folder.mkdir()
    for name in ("facts", "turns"):
        row = json.loads(
            Path(client.download_artifacts(run, f"{tag}/{step:06d}-{name}.json", folder)).read_text()
        )
        found[name] = [row["columns"], *row["data"]]
    kept = [one.path for one in client.list_artifacts(run, "images")]
    begin = f"images/{tag}/frames".replace("/", "~").replace("images~", "images/")
    (file,) = (path for path in kept if path.startswith(f"{begin}+step+{step}+") and path.endswith(".png"))
    return pixels(client.download_artifacts(run, file, folder)), found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("wandb", reason="wandb is not here: pip install 'eva-lightning[wandb]'")
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture
def no_wandb_run():
    """wandb goes on with a run that was not ended, and Lightning ends none."""
    import wandb

    yield
    wandb.finish()


def test_tensorboard_wandb_and_mlflow_get_the_same_pictures_and_tables(server, tmp_path, no_wandb_run):
    board = TensorBoardLogger(tmp_path / "board", name=None, version="")
    ours = WandbLogger(project="agents", save_dir=tmp_path, offline=True)
    flow = MLFlowLogger("pictures", tracking_uri=server)
    fit(tmp_path, Coloured(), [TrajectoryLog(every=1)], iterations=1, logger=[board, ours, flow])
    ours.experiment.finish()
    picture = np.asarray(contact_sheet(shown(), noise))
    rows = {one.name: [list(one.columns), *map(list, one.rows)] for one in tables(shown())}
    assert picture.shape == (112 + 14, 2 * (84 * 2 + 4) - 4, 3)
    assert ["answer", "a|b\n<i>  ü"] in rows["facts"] and len(rows["turns"]) == 1 + 2
    tag = "trajectories/1"
    for seen, told in (
        from_tensorboard(tmp_path / "board", tag),
        from_wandb(tmp_path, tag),
        from_mlflow(server, flow.run_id, 1, tag, tmp_path / "got"),
    ):
        assert np.array_equal(seen, picture) and told == rows


def test_every_line_of_the_page_works(server, tmp_path, tiny_folder, monkeypatch, capsys, no_wandb_run):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copytree(tiny_folder, "tiny")
    lay_out(PAGE, tmp_path)
    Path("folder.py").write_text(blocks(PAGE, "python")[0].text)
    for line in LINES:
        command, *words = shlex.split(line.replace("http://localhost:5000", server))
        assert command == "eva"
        if words[0] == "fit":
            words += ["--trainer.accelerator=cpu", "--model.agent.limits.turn_tokens=8"]
        assert main(words) == 0, f"{line}\n{capsys.readouterr().err}"
    from mlflow import MlflowClient

    (run,) = MlflowClient(server).search_runs(
        [MlflowClient(server).get_experiment_by_name("agents").experiment_id]
    )
    tag, folder = "trajectories/2", Path("runs/folder/lightning_logs/version_0/trajectories/2")
    (board,) = {path.parent for path in Path("runs/seen").rglob("events.out.tfevents*")}
    picture, rows = from_tensorboard(board, tag)
    assert picture.max() > 0 and len(rows["turns"]) > 1 and rows["facts"][1][0] == "question"
    for seen, told in (
        from_wandb("runs/wandb", tag),
        from_mlflow(server, run.info.run_id, 2, tag, tmp_path / "got"),
        (pixels(folder / "000002.png"), rows),
    ):
        assert np.array_equal(seen, picture) and told == rows
    assert rows["facts"][1][1].splitlines()[0] in html.unescape((folder / "000002.md").read_text())
