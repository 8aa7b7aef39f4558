"""Five commands over one small world: the words for each, with a plan or without, and what they leave behind.

Everything is real: mp4 clips, the tiny policy, `eva fit` for three stages, `eva collect`, `eva test`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.store import read, write
from eva_lightning.policy.export import export
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Trajectory
from tests.modules import stages
from tests.reports.benchmarks.making_rows import SHAPE, rows_of, write_rows

ITERATIONS = 6
STAGES = ("sft", "kto", "grpo")
PARTS = "tests.system.faults.injecting"
LIMITS = {"turns": 3, "turn_tokens": 80, "total_tokens": 1536}
SECONDS = {"class_path": "EvaDialect", "init_args": {"timestamps": "seconds"}}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all runs stand on."""

    folder: Path
    world: object
    policy: Path
    rows: Path

    @property
    def tasks(self):
        return self.world.tasks


def lay_ground(folder):
    """Two worlds of three clips, a policy that can look and answer after a fashion, what the oracle did."""
    settings = ScriptSettings(duration=(30, 30), height=112, width=112, fps=2)
    families = ["colour_at", "mark_at"]
    world = build_world(folder / "world", 3, settings, families=families, open_share=1.0)
    asked = build_world(folder / "asked", 3, settings, families=families, open_share=0.0)
    tiny = build_tiny(folder / "tiny", corpus=agent_text())
    taught = stages.teach(world, tiny)
    write(folder / "taught.jsonl", taught)
    write(folder / "feedback.jsonl", stages.marked(taught))
    rows = write_rows(folder / "asked" / "rows.jsonl", rows_of(asked.tasks))
    lessons = [*taught, *stages.teach(asked, tiny)]
    return Ground(folder=folder, world=world, policy=_schooled(tiny, lessons, folder / "policy"), rows=rows)


def _schooled(tiny, taught, folder):
    """The policy after 30 steps on what the oracle did: it learns it by heart, nearly."""
    module = stages.make("sft", tiny, lr=3e-3)
    stages.fit(module, *[taught] * 30)
    export(module.policy, module.policy_config, folder)
    return folder


def fit(ground, stage, out, *, engine=None, world=None, judge=None, more=()):
    """The words of a fit of six iterations with a checkpoint after each, logged in full.

    `engine` and `world` are the settings of a faulty one, `judge` the address of a server.
    """
    agent = {"limits": LIMITS, "dialect": SECONDS} | ({"world": part("FaultyWorld", world)} if world else {})
    model = {
        "policy": {"path": str(ground.policy), "dtype": "float32"},
        "optimizer": {"lr": 3e-4, "warmup_steps": 2, "decay": "linear"},
        "agent": agent,
        "engine": part("FaultyEngine", engine or {}),
    }
    if stage == "grpo":
        model |= {
            "attempts": 4,
            "mini_batches": 2,
            "rewards": [{"class_path": "tests.modules.letters.Letters"}],
        }
        if judge:
            asked = {
                "class_path": "ServerEngine",
                "init_args": {"url": judge, "retries": 2, "pause": 0.01, "timeout": 2},
            }
            model["rewards"].append(
                {"class_path": "JudgeReward", "init_args": {"judge": asked, "weight": 0.1}}
            )
    module = {"sft": "SFTModule", "kto": "KTOModule", "grpo": "GRPOModule"}[stage]
    data = {
        "sft": ("DemonstrationData", {"trajectories": str(ground.folder / "taught.jsonl")}),
        "kto": ("FeedbackData", {"trajectories": str(ground.folder / "feedback.jsonl")}),
        "grpo": ("TaskData", {"tasks": str(ground.folder / "world" / "tasks.jsonl")}),
    }[stage]
    shared = {"batch_size": 2, "eval_tasks": str(ground.folder / "world" / "tasks.jsonl"), "eval_limit": 2}
    epoch = 3 if stage == "grpo" else 2
    config = {
        "model": {"class_path": module, "init_args": model},
        "data": {"class_path": data[0], "init_args": data[1] | shared},
        "trainer": {
            "max_epochs": ITERATIONS // epoch,
            "accelerator": "cpu",
            "default_root_dir": str(out),
            "logger": {
                "class_path": "CSVLogger",
                "init_args": {"save_dir": str(out), "name": "", "version": ""},
            },
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": [
                {"class_path": "IterationCheckpoint", "init_args": {"every": 1}},
                {"class_path": "TrajectoryLog", "init_args": {"every": 1}},
            ],
        },
    }
    return ["fit", "--config", _written(out, f"{stage}.yaml", config), *more]


def collect(ground, out, url, more=()):
    """The words of a collection of four attempts at each task, from a server."""
    words = ["collect", "--tasks", ground.folder / "world", "--out", out / "attempts.jsonl", "--server", url]
    return [*words, "--attempts", 4, "--concurrency", 4, *more]


def examine(ground, out, *, engine=None, world=None, more=()):
    """The words of an evaluation on the rows of a benchmark, two attempts each."""
    agent = {"limits": LIMITS, "dialect": SECONDS} | ({"world": part("FaultyWorld", world)} if world else {})
    benchmark = {
        "name": "Mine",
        "file": str(ground.rows),
        "videos": str(ground.rows.parent / "clips"),
        "shape": SHAPE,
    }
    config = {
        "model": {
            "class_path": "PolicyModule",
            "init_args": {
                "policy": {"path": str(ground.policy), "dtype": "float32"},
                "engine": part("FaultyEngine", engine or {}),
                "agent": agent,
                "evaluation": {"attempts": 2, "temperature": 1.0},
                "concurrency": 4,
            },
        },
        "data": {"class_path": "BenchmarkData", "init_args": {"benchmarks": [benchmark]}},
        "trainer": {"accelerator": "cpu", "default_root_dir": str(out), "logger": False},
    }
    return ["test", "--config", _written(out, "test.yaml", config), *more]


def part(name, settings):
    return {"class_path": f"{PARTS}.{name}", "init_args": dict(settings)}


def _written(out, name, config):
    out.mkdir(parents=True, exist_ok=True)
    path = out / name
    path.write_text(json.dumps(config))
    return path


def lived(out):
    """The trajectories of a fit, by the name of their file."""
    files = [*sorted(out.glob("trajectories/*.jsonl")), *sorted(out.glob("evaluations/*.jsonl"))]
    return {str(file.relative_to(out)): read(file, Trajectory) for file in files}


def answered(out):
    """The trajectories and the rows of results of an evaluation."""
    file = answers(out)
    results = [json.loads(line) for line in file.with_name("results.jsonl").read_text().splitlines()]
    return read(file, Trajectory), results


def answers(out):
    """The trajectories of an evaluation."""
    return out / "benchmarks" / "Mine" / "trajectories.jsonl"


def learned(out):
    """What a fit ended with: the iteration, the trained weights and the state of the optimizer."""
    last = torch.load(out / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    return last["iteration"], last["state_dict"], last["optimizer_states"]


def same(one, other):
    """Whether two nests of tensors and numbers are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
