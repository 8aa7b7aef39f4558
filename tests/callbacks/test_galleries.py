"""Which gallery a logger is shown to; that the real ones get it all is in tests/system/test_loggers.py."""

import importlib

import pytest
from lightning.pytorch.loggers import CSVLogger
from lightning_utilities.core.imports import RequirementCache

from eva_lightning.callbacks import Gallery, MLflowGallery, TrajectoryLog, galleries
from eva_lightning.callbacks.galleries import GALLERIES, Exhibit, gallery_of
from eva_lightning.cli import main
from eva_lightning.faults import UsageError
from tests.callbacks.acting import Acting, fit


def test_a_logger_is_shown_to_by_the_first_gallery_that_knows_it(tmp_path):
    class Kept(Gallery):
        def __init__(self, kind):
            self.kind, self.shown = kind, []

        def knows(self, logger):
            return isinstance(logger, self.kind)

        def show(self, logger, exhibit):
            self.shown.append((exhibit.tag, exhibit.step, exhibit.picture is not None))

    mine, late = Kept(CSVLogger), Kept(CSVLogger)
    logger = CSVLogger(tmp_path)
    log = TrajectoryLog(every=2, count=1, galleries=[mine, late])
    fit(tmp_path, Acting(), [log], iterations=4, logger=logger)
    assert mine.shown == [("trajectories/1", 2, True), ("trajectories/1", 4, True)] and late.shown == []
    assert gallery_of(logger, GALLERIES) is None


def test_a_logger_without_pictures_costs_no_frame(tmp_path):
    class Unread(Acting):
        def pixels(self, made):
            raise AssertionError("a frame was read that nobody sees")

    fit(tmp_path, Unread(), [TrajectoryLog(every=1)], iterations=1, logger=CSVLogger(tmp_path, version=""))
    (file,) = tmp_path.rglob("iteration-000001.jsonl")
    assert file.parent.name == "trajectories" and not list(tmp_path.rglob("*.png"))


def test_a_client_of_mlflow_without_pandas_names_the_extra(monkeypatch):
    monkeypatch.setattr(galleries, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"want pandas.*eva-lightning\[mlflow\]"):
        MLflowGallery().show(None, Exhibit(tag="trajectories/1", step=1, tables=(), picture=None))


@pytest.mark.parametrize(("logger", "extra"), [("WandbLogger", "wandb"), ("MLFlowLogger", "mlflow")])
def test_a_logger_whose_package_is_missing_names_the_extra(logger, extra, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"lightning.pytorch.loggers.{extra}")
    missing = RequirementCache(f"{extra}>=99999", "no_such_module")
    missing.requirement = f"{extra}>=1"  # what it says of itself; what is here does not meet the other
    monkeypatch.setattr(module, f"_{extra.upper()}_AVAILABLE", missing)
    words = ["fit", "--config", "sft.yaml", "--trainer.logger", logger, "--trainer.accelerator=cpu"]
    assert main(words) == 1
    assert f"pip install 'eva-lightning[{extra}]'" in capsys.readouterr().err.splitlines()[-1]
