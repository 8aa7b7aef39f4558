"""A run that stops, fails or is killed goes on with the very next record: a real Trainer and checkpoints."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from eva_lightning.datamodules import TaskData
from eva_lightning.faults import UsageError
from eva_lightning.files.store import write
from tests.making import task

ROOT = Path(__file__).parent.parent.parent


class Noting(lightning.LightningModule):
    """Trains one weight by hand and notes its tasks; `plans` asks for the number of steps beforehand."""

    def __init__(self, log, plans=True, fail_at=None, die_at=None):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.log_file, self.plans, self.fail_at, self.die_at = Path(log), plans, fail_at, die_at
        self.evaluated = []

    def configure_optimizers(self):
        if self.plans:
            assert (
                self.trainer.estimated_stepping_batches > 0
            )  # makes the loader before the checkpoint is read
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, tasks, batch_idx):
        if self.trainer.global_step == self.fail_at:
            raise RuntimeError("out of memory")
        if self.trainer.global_step == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.manual_backward(self.weight.sum())
        self.optimizers().step()
        with self.log_file.open("a") as file:
            file.write(json.dumps([one.id for one in tasks]) + "\n")

    def validation_step(self, tasks, batch_idx):
        self.evaluated += [one.id for one in tasks]

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        return batch


class EveryBatch(Callback):
    """Saves after each batch."""

    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, *_):
        trainer.save_checkpoint(self.path)


def trainer(folder, *callbacks, **settings):
    return lightning.Trainer(
        **{"max_epochs": 2, "default_root_dir": folder, "num_sanity_val_steps": 0} | settings,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=any(isinstance(one, ModelCheckpoint) for one in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )


def noted(log):
    return [json.loads(line) for line in Path(log).read_text().splitlines()]


@pytest.fixture
def run(tmp_path):
    """Fits and tells what was served in all; ten tasks in batches of four are three batches an epoch."""
    write(tmp_path / "tasks.jsonl", [task(id=f"t{i}") for i in range(10)])

    def fit(name, *callbacks, ckpt_path=None, module=None, eval_tasks=None, **settings):
        data = TaskData(str(tmp_path), batch_size=4, eval_tasks=eval_tasks)
        module = Noting(tmp_path / name, **(module or {}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer(tmp_path, *callbacks, **settings).fit(
                module, data, ckpt_path=ckpt_path, weights_only=True
            )
        return noted(tmp_path / name)

    return fit


@pytest.fixture
def whole(run):
    """What an undisturbed run serves."""
    return run("whole")


def test_an_epoch_is_a_pass_and_a_bit(whole):
    assert len(whole) == 6
    assert {one for batch in whole[:3] for one in batch} == {f"t{i}" for i in range(10)}


@pytest.mark.parametrize("plans", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_run_stopped_after_some_steps_goes_on_with_the_next_batch(run, whole, tmp_path, plans, steps):
    path = tmp_path / "a.ckpt"
    first = run("halves", EveryBatch(path), max_steps=steps, module={"plans": plans})
    assert first == whole[:steps]
    assert run("halves", ckpt_path=path, max_steps=6, max_epochs=-1, module={"plans": plans}) == whole


@pytest.mark.parametrize("plans", [True, False])
def test_a_checkpoint_at_the_end_of_an_epoch_begins_the_next_one(run, whole, tmp_path, plans):
    saving = ModelCheckpoint(tmp_path, "end", save_on_train_epoch_end=True)
    run("halves", saving, max_epochs=1, module={"plans": plans})
    assert run("halves", ckpt_path=tmp_path / "end.ckpt", module={"plans": plans}) == whole


def test_a_failed_batch_is_served_again(run, whole, tmp_path):
    path = tmp_path / "failed.ckpt"

    class OnFailure(Callback):
        def on_exception(self, trainer, module, problem):
            trainer.save_checkpoint(path)

    with pytest.raises(RuntimeError, match="out of memory"):
        run("halves", OnFailure(), module={"fail_at": 4})
    assert run("halves", ckpt_path=path) == whole


def test_a_killed_run_goes_on_after_its_last_checkpoint(run, whole, tmp_path):
    program = f"""
        from eva_lightning.datamodules import TaskData
        from tests.datamodules.test_resume import EveryBatch, Noting, trainer
        data = TaskData({str(tmp_path)!r}, batch_size=4)
        module = Noting({str(tmp_path / "killed")!r}, die_at=4)
        trainer({str(tmp_path)!r}, EveryBatch({str(tmp_path / "k.ckpt")!r})).fit(module, data)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert noted(tmp_path / "killed") == whole[:4]
    assert run("killed", ckpt_path=tmp_path / "k.ckpt") == whole


def test_other_data_are_refused(run, tmp_path):
    path = tmp_path / "a.ckpt"
    run("halves", EveryBatch(path), max_steps=2)
    write(tmp_path / "tasks.jsonl", [task(id=f"new{i}") for i in range(10)])
    with pytest.raises(UsageError, match="the checkpoint was made with other data: fingerprint was"):
        run("halves", ckpt_path=path)


def test_tasks_added_while_training_are_in_the_checkpoint(run, tmp_path):
    class Mining(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 1:
                trainer.datamodule.add_tasks([task(id="mined")])

    whole = run("whole", Mining())
    assert "mined" in [one for batch in whole[:4] for one in batch]
    run("halves", Mining(), EveryBatch(tmp_path / "a.ckpt"), max_steps=2)
    assert run("halves", ckpt_path=tmp_path / "a.ckpt", max_steps=6, max_epochs=-1) == whole


def test_mined_tasks_have_their_share_after_a_resume_as_well(run, tmp_path):
    class Mining(Callback):
        def setup(self, trainer, module, stage):
            trainer.datamodule.expect_mined(0.5)

        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step in (1, 3):
                mined = [task(id=f"mined{trainer.global_step}-{i}") for i in range(3)]
                trainer.datamodule.add_mined(mined)

    whole = run("whole", Mining(), max_epochs=4)
    assert [sum(one.startswith("mined") for one in batch) for batch in whole] == [0] + [2] * 11
    for steps in (1, 2, 3, 4):
        run(f"halves{steps}", Mining(), EveryBatch(tmp_path / "a.ckpt"), max_steps=steps)
        again = {"max_steps": 12, "max_epochs": -1, "ckpt_path": tmp_path / "a.ckpt"}
        assert run(f"halves{steps}", Mining(), **again) == whole


def test_a_limit_on_the_batches_of_an_epoch_loses_none(run):
    short = run("short", limit_train_batches=2, max_epochs=3)
    flat = [one for batch in short for one in batch]
    assert len(short) == 6 and len(set(flat[:10])) == 10 and len(set(flat[10:20])) == 10


def test_half_precision_leaves_records_alone(run, whole, tmp_path):
    """Lightning looks into lists for tensors to convert, and refuses frozen records."""
    write(tmp_path / "held_out.jsonl", [task(id="h")])
    assert run("half", precision="bf16-true", eval_tasks=str(tmp_path)) == whole


def test_validation_sees_the_tasks_in_file_order(tmp_path):
    write(tmp_path / "tasks.jsonl", [task(id=f"t{i}") for i in range(4)])
    write(tmp_path / "held_out.jsonl", [task(id=f"h{i}") for i in range(5)])
    module = Noting(tmp_path / "log")
    data = TaskData(str(tmp_path), batch_size=4, eval_tasks=str(tmp_path), eval_batch_size=2)
    trainer(tmp_path, max_epochs=1).fit(module, data)
    assert module.evaluated == [f"h{i}" for i in range(5)]
