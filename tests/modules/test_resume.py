"""Each stage, started as a user starts it, killed in the middle of a step, taken up again: the same run."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from eva_lightning.callbacks import IterationCheckpoint
from eva_lightning.cli import main
from eva_lightning.datamodules import TaskData
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.faults import EngineFault, Fault
from eva_lightning.files.store import write
from tests.modules.stages import Coin, Watching, make, marked, moved, trainer, weights

ROOT = Path(__file__).parent.parent.parent
DIES_IN = {"sft": 4, "kto": 4, "grpo": 3}
EVERY = {"sft": 1, "kto": 2, "grpo": 1}  # so sft goes on inside an epoch of two, kto and grpo between two


@pytest.fixture(scope="module")
def config(world, taught, tiny_folder, tmp_path_factory):
    """A config file for every stage: 6 iterations, 3 epochs, with a schedule and an evaluation."""
    folder = tmp_path_factory.mktemp("runs")
    write(folder / "taught.jsonl", taught)
    write(folder / "feedback.jsonl", marked(taught))
    policy = {"path": str(tiny_folder), "dtype": "float32"}
    shared = {
        "policy": policy,
        "optimizer": {"lr": 1e-3, "warmup_steps": 2, "decay": "linear"},
        "agent": {"limits": {"turns": 2, "turn_tokens": 12, "total_tokens": 1536}},
    }
    adapter = {"policy": policy | {"lora": {"rank": 4, "alpha": 8}}}
    coin = [{"class_path": "tests.modules.stages.Coin"}]
    grpo = {"attempts": 2, "rewards": coin, "objective": {"kl_weight": 0.1}, "mini_batches": 2}
    kto = {"objective": {"length_normalize": "token"}}
    stages = {
        "sft": ("SFTModule", {}, "DemonstrationData", {"trajectories": str(folder / "taught.jsonl")}),
        "kto": ("KTOModule", kto, "FeedbackData", {"trajectories": str(folder / "feedback.jsonl")}),
        "grpo": ("GRPOModule", adapter | grpo, "TaskData", {"tasks": str(world.folder)}),
    }

    def make(stage, run, die_in=None):
        module, more, data, files = stages[stage]
        noting = {"log": str(folder / f"{stage}-{run}.log"), "die_in": die_in}
        callbacks = [
            {
                "class_path": "IterationCheckpoint",
                "init_args": {"every": EVERY[stage], "save_best": "eval/rounds"},
            },
            {"class_path": "tests.modules.noting.Noting", "init_args": noting},
        ]
        written = {
            "model": {"class_path": module, "init_args": shared | more},
            "data": {
                "class_path": data,
                "init_args": files
                | {"batch_size": 2, "eval_tasks": str(world.folder / "tasks.jsonl"), "eval_limit": 1},
            },
            "trainer": {
                "max_epochs": 3,
                "accelerator": "cpu",
                "default_root_dir": str(folder / f"{stage}-{run}"),
                "logger": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "callbacks": callbacks,
            },
        }
        path = folder / f"{stage}-{run}.yaml"
        path.write_text(yaml.safe_dump(written))
        return path, Path(noting["log"])

    return make


def noted(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture(scope="module")
def killed(config):
    """The three stages as processes of their own, each killed in an iteration; their logs."""
    running = {}
    for stage, iteration in DIES_IN.items():
        path, log = config(stage, "killed", iteration)
        words = [sys.executable, "-m", "eva_lightning", "fit", "--config", str(path)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        running[stage] = (process, log)
    found = {}
    for stage, (process, log) in running.items():
        said = process.communicate(timeout=120)[1]
        assert process.returncode == -signal.SIGKILL, said[-2000:]
        assert [line[0] for line in noted(log)] == list(range(1, DIES_IN[stage]))
        found[stage] = (log, said)
    return found


@pytest.mark.parametrize("stage", DIES_IN)
def test_a_killed_run_goes_on_as_if_nothing_had_been(stage, config, killed, monkeypatch):
    monkeypatch.chdir(ROOT)
    path, log = config(stage, "whole")
    assert main(["fit", "--config", str(path)]) == 0
    whole = noted(log)
    assert [line[0] for line in whole] == [1, 2, 3, 4, 5, 6]
    lived = DIES_IN[stage] - 1
    assert noted(killed[stage][0]) == whole[:lived]

    path, log = config(stage, "killed")  # the same run, without the plug pulled
    assert main(["fit", "--config", str(path), "--ckpt_path", "last"]) == 0
    taken_up = noted(log)[lived:]
    last = lived - lived % EVERY[stage]
    assert [line[0] for line in taken_up] == list(range(last + 1, 7))
    assert taken_up == whole[last:]  # the same trajectories, token by token, and losses, bit for bit
    served = [one[0] for line in whole[:last] + taken_up for one in line[1]]
    assert len(set(served[: len(served) // 3])) == 4  # each task once an epoch, none skipped, none repeated
    assert all(served.count(task) == len(served) // 4 for task in set(served))


def test_a_run_says_nothing_that_nobody_can_act_on(killed):
    for _, said in killed.values():
        assert "demonstrations kept" in said or "desirable_weight" in said or "GPU available" in said
        assert not [line for line in said.splitlines() if "Warning" in line or "site-packages" in line]


class Dying(TransformersEngine):
    """Is out of reach from the third iteration on."""

    async def write(self, context, sampling):
        if self.policy_version >= 2:
            raise EngineFault("nobody answers")
        return await super().write(context, sampling)


@pytest.mark.parametrize("batch_size", [2, 1])  # the third iteration begins an epoch, or lies in the middle
def test_where_every_server_died_the_run_goes_on_as_if_none_had(batch_size, world, tiny_folder, tmp_path):
    """Nothing was learned in the iteration that failed, so the one before it is not lost."""

    def run(name, engine=TransformersEngine, ckpt_path=None):
        module = make("grpo", tiny_folder, engine=engine, attempts=2, rewards=[Coin()], lr=1e-2)
        watching, saving = Watching(), IterationCheckpoint(every=10)
        folder = {"default_root_dir": tmp_path / name, "enable_checkpointing": True}
        made = trainer(callbacks=[watching, saving], max_epochs=batch_size, **folder)
        data = TaskData(str(world.folder), batch_size=batch_size)
        with suppress(Fault):
            made.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
        return module, watching

    whole, watched = run("whole")
    _, first = run("died", Dying)
    again, rest = run("died", ckpt_path="last")
    assert len(first.metrics) == 2 and first.metrics + rest.metrics == watched.metrics  # bit for bit
    assert again.rollouts == whole.rollouts and again.iteration == whole.iteration == 4
    assert not moved(weights(whole), weights(again))
