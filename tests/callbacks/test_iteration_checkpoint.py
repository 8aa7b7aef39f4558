import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from eva_lightning.callbacks import IterationCheckpoint
from eva_lightning.faults import UsageError
from eva_lightning.files.atomic import place, point, remove, sweep
from tests.callbacks.acting import Acting, fit
from tests.files.small_disk import small_disk

ROOT = Path(__file__).parents[2]


def names(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def load(path):
    return torch.load(path, weights_only=True)


def test_it_counts_iterations_not_optimizer_steps_and_keeps_the_newest_two(tmp_path):
    fit(tmp_path, Acting(steps=3), [IterationCheckpoint(every=2)], iterations=7)
    assert names(tmp_path) == ["iteration-000006.ckpt", "iteration-000007.ckpt", "last.ckpt"]
    last = load(tmp_path / "checkpoints/last.ckpt")
    assert last["iteration"] == 7 and last["global_step"] == 21
    assert last["state_dict"]["weight"].tolist() == [10.5] * 3


def test_lightning_adds_no_checkpoints_of_its_own(tmp_path):
    made = fit(tmp_path, Acting(), [IterationCheckpoint(every=1, keep=None)], iterations=3)
    assert len(made.checkpoint_callbacks) == 1
    assert names(tmp_path) == [*(f"iteration-00000{i}.ckpt" for i in (1, 2, 3)), "last.ckpt"]


def test_every_hook_of_the_parent_is_replaced():
    hooks = {name for name in vars(ModelCheckpoint) if name.startswith("on_")} | {"setup", "state_dict"}
    hooks |= {"load_state_dict", "state_key", "_find_last_checkpoints"}
    assert hooks <= set(vars(IterationCheckpoint)), "a new Lightning has a hook that would save on its own"


def test_last_goes_on_in_the_middle_of_an_epoch(tmp_path):
    fit(tmp_path, Acting(), [IterationCheckpoint(every=2)], iterations=5, max_steps=6)
    module = Acting()
    fit(tmp_path, module, [IterationCheckpoint(every=2)], iterations=5, ckpt_path="last", max_epochs=2)
    assert module.iteration == 10 and len(module.seen) == 2 + 5
    assert load(tmp_path / "checkpoints/last.ckpt")["iteration"] == 10
    assert module.weight.tolist() == [10.0] * 3  # 2 steps of 0.5 in each


def test_a_run_that_ends_by_its_steps_at_the_end_of_an_epoch_knows_its_last_validation(tmp_path):
    def callback():
        return IterationCheckpoint(every=3, save_best="eval/accuracy")

    fit(tmp_path, Acting(scores=[0.5]), [callback()], iterations=4, max_steps=8, validate=1)
    last = load(tmp_path / "checkpoints/last.ckpt")
    assert last["iteration"] == 4 and last["callbacks"]["IterationCheckpoint"]["best_score"] == 0.5
    module = Acting(scores=[0.4])
    fit(tmp_path, module, [callback()], iterations=4, max_epochs=2, ckpt_path="last", validate=1)
    assert module.iteration == 8 and len(module.seen) == 4


@pytest.mark.parametrize("every", [4, 3])
def test_a_finished_run_can_be_made_longer(tmp_path, every):
    fit(tmp_path, Acting(), [IterationCheckpoint(every=every)], iterations=4)
    module = Acting()
    fit(tmp_path, module, [IterationCheckpoint(every=every)], iterations=4, ckpt_path="last", max_epochs=3)
    assert module.iteration == 12 and module.seen == [0, 1, 2, 3] * 2


def test_last_of_an_empty_folder_begins_from_the_start(tmp_path):
    with pytest.warns(UserWarning, match="no last checkpoint"):
        fit(tmp_path, Acting(), [IterationCheckpoint(every=2)], ckpt_path="last")
    assert "last.ckpt" in names(tmp_path)


def test_last_finds_the_newest_even_without_its_link(tmp_path):
    fit(tmp_path, Acting(), [IterationCheckpoint(every=1, keep=None)], iterations=3)
    (tmp_path / "checkpoints/last.ckpt").unlink()
    module = Acting()
    fit(tmp_path, module, [IterationCheckpoint(every=1)], iterations=3, ckpt_path="last", max_epochs=2)
    assert module.iteration == 6


def test_a_new_run_does_not_start_over_the_checkpoints_of_another(tmp_path):
    fit(tmp_path, Acting(), [IterationCheckpoint(every=2)])
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").iterdir()}
    with pytest.raises(UsageError, match=r"holds iteration 4 of another run.*--ckpt_path last"):
        fit(tmp_path, Acting(), [IterationCheckpoint(every=2)])
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").iterdir()} == before


def test_a_crash_before_anything_was_learned_loses_no_iteration(tmp_path):
    with pytest.raises(RuntimeError, match="before anything"):
        fit(tmp_path, Acting(crash_before=4), [IterationCheckpoint(every=10)], iterations=9)
    last = load(tmp_path / "checkpoints/last.ckpt")
    assert last["iteration"] == 3 and last["state_dict"]["weight"].tolist() == [3.0] * 3
    module = Acting()
    fit(tmp_path, module, [IterationCheckpoint(every=10)], iterations=9, ckpt_path="last")
    assert module.iteration == 9 and len(module.seen) == 6 and module.weight.tolist() == [9.0] * 3


def test_a_crash_in_the_first_iteration_of_a_run_writes_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="before anything"):
        fit(tmp_path, Acting(crash_before=1), [IterationCheckpoint()])
    assert not (tmp_path / "checkpoints").exists()


def test_a_crash_inside_an_iteration_writes_nothing(tmp_path):
    told = pytest.warns(UserWarning, match="inside iteration 4; the newest checkpoint: iteration 2")
    with told, pytest.raises(RuntimeError):
        fit(tmp_path, Acting(crash_in=4), [IterationCheckpoint(every=2)], iterations=9)
    assert names(tmp_path) == ["iteration-000002.ckpt", "last.ckpt"]


def test_a_stop_between_iterations_writes_a_checkpoint(tmp_path):
    class Preempted(Acting):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            if self.iteration == 3:
                self.trainer._signal_connector.received_sigterm = True

    with pytest.raises(SIGTERMException):
        fit(tmp_path, Preempted(), [IterationCheckpoint(every=2)], iterations=9)
    assert load(tmp_path / "checkpoints/last.ckpt")["iteration"] == 3
    module = Acting()
    fit(tmp_path, module, [IterationCheckpoint(every=2)], iterations=9, ckpt_path="last", max_epochs=2)
    assert module.iteration == 3 + len(module.seen)


def test_an_error_while_evaluating_loses_no_iteration(tmp_path):
    class Broken(Acting):
        def validation_step(self, batch, batch_idx):
            if self.iteration == 3 and batch_idx == 1:
                raise RuntimeError("a crash between iterations")

    arguments = {"validate": 2, "val_check_interval": 1, "iterations": 5}
    with pytest.raises(RuntimeError):
        fit(tmp_path, Broken(), [IterationCheckpoint()], **arguments)
    assert load(tmp_path / "checkpoints/last.ckpt")["iteration"] == 3
    module = Acting()
    fit(tmp_path, module, [IterationCheckpoint()], ckpt_path="last", **arguments)
    assert module.iteration == 5 and len(module.seen) == 2


class Validating(Acting):
    """Notes after which iteration it is validated; may be killed in the middle of one."""

    validated: list[int]

    def __init__(self, killed_after=None, **more):
        super().__init__(**more)
        self.validated, self.killed_after = [], killed_after

    def validation_step(self, batch, batch_idx):
        if self.iteration == self.killed_after:
            raise KeyboardInterrupt
        self.validated.append(self.iteration)


@pytest.mark.parametrize("where", [2, 4], ids=["in an epoch", "at the end"])
def test_a_validation_that_was_cut_off_is_made_when_the_run_goes_on(tmp_path, where):
    """Four iterations, validated after 2 and 4; a checkpoint of each was written before."""
    saving = {"callbacks": [IterationCheckpoint(every=1)], "iterations": 4, "validate": 1}
    killed = Validating(killed_after=where)
    with suppress(KeyboardInterrupt, SystemExit):
        fit(tmp_path, killed, val_check_interval=2, **saving)
    goes_on = Validating()
    saving["callbacks"] = [IterationCheckpoint(every=1)]
    fit(tmp_path, goes_on, val_check_interval=2, ckpt_path="last", **saving)
    assert killed.validated + goes_on.validated == [2, 4] and goes_on.iteration == 4
    again = Validating()
    saving["callbacks"] = [IterationCheckpoint(every=1)]
    fit(tmp_path, again, val_check_interval=2, ckpt_path="last", max_epochs=2, **saving)
    assert again.validated == [6, 8]  # none that was made is made again


def test_a_quick_look_at_a_run_writes_nothing(tmp_path):
    module = Acting()
    fit(tmp_path, module, [IterationCheckpoint(every=1)], iterations=3, validate=1, fast_dev_run=1)
    assert module.iteration == 1 and not (tmp_path / "checkpoints").exists()


def test_the_best_one_is_kept_and_remembered_over_a_restart(tmp_path):
    arguments = {"validate": 1, "val_check_interval": 1, "iterations": 4}
    best = {"every": 10, "save_best": "eval/accuracy"}
    fit(tmp_path, Acting(scores=[0.2, 0.8, 0.5, 0.5]), [IterationCheckpoint(**best)], **arguments)
    assert names(tmp_path) == ["best-000002.ckpt", "best.ckpt", "iteration-000004.ckpt", "last.ckpt"]
    worse = Acting(scores=[0.7, 0.7, 0.9, 0.1])
    made = fit(tmp_path, worse, [IterationCheckpoint(**best)], ckpt_path="last", max_epochs=2, **arguments)
    assert "best-000007.ckpt" in names(tmp_path) and "best-000002.ckpt" not in names(tmp_path)
    assert load(made.checkpoint_callback.best_model_path)["iteration"] == 7


def test_the_best_one_can_be_gone_on_from(tmp_path):
    arguments = {"validate": 1, "val_check_interval": 1, "iterations": 4}
    best = IterationCheckpoint(save_best="eval/accuracy")
    fit(tmp_path, Acting(scores=[0.2, 0.8, 0.5, 0.5]), [best], **arguments)
    module = Acting(scores=[0.1] * 9)
    again = IterationCheckpoint(save_best="eval/accuracy")
    fit(tmp_path, module, [again], ckpt_path=str(tmp_path / "checkpoints/best.ckpt"), **arguments)
    assert module.iteration == 4


def test_a_metric_that_is_not_logged_is_a_mistake(tmp_path):
    with pytest.raises(UsageError, match="eval/acuracy"):
        fit(tmp_path, Acting(), [IterationCheckpoint(save_best="eval/acuracy")], validate=1)


def test_kill_nine_at_any_moment_leaves_a_last_checkpoint_that_loads(tmp_path):
    script = (
        "import torch; from callbacks import IterationCheckpoint; from tests.callbacks.acting import *\n"
        "class Large(Acting):\n"
        "    def on_save_checkpoint(self, checkpoint):\n"
        "        super().on_save_checkpoint(checkpoint); checkpoint['ballast'] = torch.zeros(4_000_000)\n"
        f"fit({str(tmp_path)!r}, Large(), [IterationCheckpoint(every=1)], iterations=10**6, ckpt_path='last')"
    )
    reached = []
    for pause in (0.05, 0.27):
        writer = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.DEVNULL)
        folder, began = tmp_path / "checkpoints", time.monotonic()
        done = max(reached, default=0)
        while not (folder / f"iteration-{done + 3:06d}.ckpt").exists() and time.monotonic() < began + 40:
            time.sleep(0.01)
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        last = load(folder / "last.ckpt")
        assert last["ballast"].numel() == 4_000_000
        assert last["state_dict"]["weight"].tolist() == [float(last["iteration"])] * 3
        reached.append(last["iteration"])
    assert reached[0] < reached[1]  # the second went on where the first was killed
    module = Acting()
    fit(tmp_path, module, [IterationCheckpoint(every=1)], iterations=reached[-1] + 1, ckpt_path="last")
    assert module.iteration == reached[-1] + 1
    assert not list(folder.glob(".*"))  # what the killed ones left is swept up


def test_folders_are_replaced_whole(tmp_path):
    for word in ("old", "new"):
        part = tmp_path / ".a.ckpt.part"
        part.mkdir()
        (part / word).touch()
        place(tmp_path / "a.ckpt")
        point(tmp_path / "last.ckpt", tmp_path / "a.ckpt")
    assert [path.name for path in (tmp_path / "last.ckpt").iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ckpt", "last.ckpt"]
    (tmp_path / ".torn.ckpt.part").mkdir()
    sweep(tmp_path)
    remove(tmp_path / "a.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_folder_that_was_put_aside_and_never_replaced_is_the_last_one(tmp_path):
    fit(tmp_path, Acting(), [IterationCheckpoint(every=2)], iterations=4)
    only = tmp_path / "checkpoints/iteration-000004.ckpt"
    (tmp_path / "checkpoints/iteration-000002.ckpt").unlink()
    only.rename(only.with_name(f".{only.name}.aside"))
    module = Acting()
    fit(tmp_path, module, [IterationCheckpoint(every=2)], iterations=4, ckpt_path="last", max_epochs=2)
    assert module.iteration == 8 and len(module.seen) == 4


ENDLESS = (
    "import sys, time\n"
    "from callbacks import IterationCheckpoint\n"
    "from tests.callbacks.acting import *\n"
    "class Slow(Acting):\n"
    "    def training_step(self, batch, batch_idx):\n"
    "        super().training_step(batch, batch_idx)\n"
    "        time.sleep(0.01)\n"
    "fit(sys.argv[1], Slow(), [IterationCheckpoint(every=1)], iterations=10**6)"
)


def test_of_two_fits_in_one_folder_the_second_is_refused_and_touches_nothing(tmp_path):
    first = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        began = time.monotonic()
        while not (tmp_path / "checkpoints/last.ckpt").exists() and time.monotonic() < began + 60:
            time.sleep(0.05)
        told = (
            rf"{tmp_path}/fit: another process is writing it \(process {first.pid} on .*, since .*\); "
            "wait until it is done, or end it, or give another trainer.default_root_dir"
        )
        for words in ({}, {"ckpt_path": "last"}):  # a job that was begun again beside a living one
            module = Acting()
            with pytest.raises(UsageError, match=told):
                fit(tmp_path, module, [IterationCheckpoint(every=1)], **words)
            assert module.seen == []
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()
    module = Acting()
    reached = load(tmp_path / "checkpoints/last.ckpt")["iteration"]
    done = reached + 2
    fit(tmp_path, module, [IterationCheckpoint(every=1)], iterations=done, ckpt_path="last")
    assert module.iteration == done and not (tmp_path / "fit.lock").exists()


def test_a_fit_that_failed_holds_its_folder_no_longer(tmp_path):
    with pytest.raises(RuntimeError):
        fit(tmp_path, Acting(crash_before=2), [IterationCheckpoint(every=1)])
    assert not (tmp_path / "fit.lock").exists()
    fit(tmp_path, Acting(), [IterationCheckpoint(every=1)], ckpt_path="last")
    assert not (tmp_path / "fit.lock").exists()


class Heavy(Acting):
    """A megabyte of checkpoint from its third iteration on."""

    def on_save_checkpoint(self, checkpoint):
        super().on_save_checkpoint(checkpoint)
        checkpoint["ballast"] = torch.zeros(250_000 if self.iteration > 2 else 1)


def test_a_checkpoint_that_has_no_room_is_one_line_and_the_one_before_it_is_whole(tmp_path):
    told = (
        r"iteration-000003\.ckpt: can not be written \(File too large\); make room, and go on with "
        "--ckpt_path last$"
    )
    with small_disk(500_000), pytest.raises(UsageError, match=told):
        fit(tmp_path, Heavy(), [IterationCheckpoint(every=1)])
    assert names(tmp_path) == ["iteration-000001.ckpt", "iteration-000002.ckpt", "last.ckpt"]
    assert load(tmp_path / "checkpoints/last.ckpt")["iteration"] == 2
    module = Heavy()
    fit(tmp_path, module, [IterationCheckpoint(every=1)], ckpt_path="last")
    assert module.iteration == 4 and len(module.seen) == 2
