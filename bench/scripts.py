"""Scripts: what is learned in words is worth as much on videos: `python bench/scripts.py [--json] [--rerun]`.

A tiny text model learns by SFT from a sloppy teacher and by GRPO, both in a `ScriptWorld`; then it answers
questions about clips that no training task shows: there, where a describer forgets and errs, and on the mp4
files of the same scripts, told by who reads their pixels. Beside it, iterations of GRPO an hour in words and
on videos that a tiny vision model tells of. `--rerun` trains anew; `--seeds` are its dice.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from describer import SIDE, Eyes
from recorded import front

from eva_lightning.agent import World, jobs_for, rollout
from eva_lightning.agent.small_talk import agent_text
from eva_lightning.agent.worlds.described import Described
from eva_lightning.agent.worlds.noisy import Noisy
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.commands.courses.questioner import DIALECT, QUESTIONER, WORDS, questioner, world_of_words
from eva_lightning.data.synthesis.render import render
from eva_lightning.data.synthesis.script import Script
from eva_lightning.data.synthesis.two_clips import WordTeacher
from eva_lightning.data.synthesis.world import HELD_OUT, SCRIPTS, load_tasks
from eva_lightning.engines.base import Engine
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.files.store import read, write
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import PATCH, Task, Trajectory
from eva_lightning.reports.summary import summarize, table
from eva_lightning.video.frame_store import FrameStore

ATTEMPTS = 4
NOISE = {"forget": 0.1, "paraphrase": 0.2, "wrong": 0.1}
TOLD = 256
"""Tokens that the vision model writes of one call: a few sentences."""
STAGES = ("sft", "grpo")
WORLDS = ("script", "noisy", "rendered")
TIMED = 8
"""Iterations of which the speed is taken."""
HERE = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
"""Variables of a command: it finds the describer beside this file."""


def run(seed: int, folder: Path) -> dict[str, Any]:
    """World, policy, SFT, GRPO from nothing: what each stage is worth in each world."""
    shutil.rmtree(folder, ignore_errors=True)
    began = time.perf_counter()
    held_out = prepare(folder, seed)
    for stage, before in (("sft", "tiny"), ("grpo", "sft/export/final")):
        train(folder, seed, stage, folder / before)
    found: dict[str, Any] = {"seed": seed, "minutes": (time.perf_counter() - began) / 60}
    for stage in STAGES:
        found[stage] = {world: examine(folder, stage, world, held_out, seed) for world in WORLDS}
    found["calls_per_second"] = {world: pace(folder, world, held_out) for world in ("script", "rendered")}
    found["iterations_per_hour"] = hourly(folder, seed)
    return found


def prepare(folder: Path, seed: int) -> list[Task]:
    """The demo's world with its clips as videos, too, and policies of chance: one to learn, one to see."""
    world = folder / "world"
    made = QUESTIONER.prepare(world, seed, 1.0)["sloppy"]
    write(world / "sloppy.jsonl", made)
    for script in read(world / SCRIPTS, Script):
        render(script, world / "clips" / f"{script.id}.mp4")
    corpus = [*agent_text(), *(message.text for one in made for message in one.messages)]
    build_tiny(folder / "seer", corpus=corpus, seed=seed, **{**QUESTIONER.tiny, "family": "qwen2_5_vl"})
    build_tiny(folder / "tiny", corpus=corpus, seed=seed, **QUESTIONER.tiny)
    return load_tasks(world, HELD_OUT)


def world_of(name: str, folder: Path) -> World:
    """The world of words, the same with mistakes, or the videos of its scripts, seen by eyes."""
    words = world_of_words(folder / "world")
    if name == "rendered":
        return Described(VideoWorld(FrameStore(coarse="never")), Eyes(), side=SIDE)
    return Noisy(words, **NOISE) if name == "noisy" else words


def act(engine: Engine, world: World, tasks: list[Task], seed: int, attempts: int = 1) -> list[Trajectory]:
    """What an engine does in a world."""
    agent = questioner(world).agent(engine)
    try:
        return asyncio.run(rollout(jobs_for(tasks, replicas=attempts, seed=seed), agent))
    finally:
        world.close()


def train(folder: Path, seed: int, stage: str, policy: Path, out: str = "", more: Sequence[str] = ()) -> None:
    """One stage, as one would type it."""
    world = folder / "world"
    data = f"--data.trajectories={world / 'sloppy.jsonl'}" if stage == "sft" else f"--data.tasks={world}"
    command = [
        *(sys.executable, "-m", "eva_lightning", "fit", "--config", f"demo/agentcvr/{stage}.yaml"),
        *(f"--seed_everything={seed}", f"--model.seed={seed}", f"--data.seed={seed}", data),
        *(f"--model.policy.path={policy}", f"--data.eval_tasks={world}"),
        f"--model.agent.world.init_args.scripts={world / WORDS}",
        f"--trainer.default_root_dir={folder / (out or stage)}",
        *more,
    ]
    subprocess.run(command, check=True, env=HERE)


def examine(folder: Path, stage: str, world: str, tasks: list[Task], seed: int) -> dict[str, float]:
    """The questions about clips that no training task shows, at temperature 1."""
    engine = TransformersEngine(load_policy(PolicyConfig(path=str(folder / stage / "export" / "final"))))
    made = act(engine, world_of(world, folder), tasks, seed, ATTEMPTS)
    write(folder / "held_out" / f"{stage}_{world}.jsonl", made)
    engine.close()
    summary = summarize(made)
    return {
        "accuracy": summary.accuracy,
        "rounds": summary.rounds,
        "frames_read": mean(one.elsewhere for one in made) / (SIDE // PATCH) ** 2,
    }


def pace(folder: Path, world: str, tasks: list[Task]) -> float:
    """Calls a second, by a teacher whose thinking costs nothing."""
    teacher = ScriptedEngine(WordTeacher(tasks, DIALECT))
    began = time.perf_counter()
    made = act(teacher, world_of(world, folder), tasks, 0)
    return sum(len(one.turns) - 1 for one in made) / (time.perf_counter() - began)


def hourly(folder: Path, seed: int) -> dict[str, float]:
    """Iterations of GRPO in an hour of one core.

    In words, and on videos that a vision model of the policy's size tells of. What it writes costs what it
    costs; the words that the policy is told are right ones, so that both worlds ask the same of it.
    """
    seer = {"class_path": "describer.PaidEyes", "init_args": {"path": str(folder / "seer")}}
    seen = {"world": "VideoWorld", "seer": seer, "side": SIDE, "max_tokens": TOLD}
    worlds: dict[str, list[str]] = {
        "script": [],
        "rendered": ["--model.agent.world=" + json.dumps({"class_path": "Described", "init_args": seen})],
    }
    return {
        name: 3600 * TIMED / (cost(folder, seed, 1 + TIMED, more) - cost(folder, seed, 1, more))
        for name, more in worlds.items()
    }


def cost(folder: Path, seed: int, iterations: int, more: Sequence[str]) -> float:
    """Seconds of one core for so many iterations, the start included: neighbours do not count."""
    few = [f"--trainer.limit_train_batches={iterations}", "--trainer.limit_val_batches=0"]
    shutil.rmtree(folder / "pace", ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    train(folder, seed, "grpo", folder / "sft" / "export" / "final", "pace", [*more, *few])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def combined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and the differences that matter."""

    def accuracy(stage: str, world: str) -> float:
        return mean(run[stage][world]["accuracy"] for run in runs)

    def frames(stage: str) -> float:
        return mean(run[stage]["script"]["frames_read"] for run in runs)

    learned = accuracy("grpo", "script")

    def faster(name: str) -> float:
        return round(mean(run[name]["script"] / run[name]["rendered"] for run in runs), 2)

    return {
        "accuracy": {
            stage: {world: round(accuracy(stage, world), 4) for world in WORLDS} for stage in STAGES
        },
        "gain": round(learned - accuracy("sft", "script"), 4),
        "gain_rendered": round(accuracy("grpo", "rendered") - accuracy("sft", "rendered"), 4),
        "transfer_gap": round(learned - accuracy("grpo", "rendered"), 4),
        "noise_drop": round(learned - accuracy("grpo", "noisy"), 4),
        "frames_grpo_over_sft": round(frames("grpo") / frames("sft"), 4),
        "script_vs_rendered_speed": faster("iterations_per_hour"),
        "script_vs_rendered_calls": faster("calls_per_second"),
        "minutes": round(mean(run["minutes"] for run in runs), 1),
        "seeds": [run["seed"] for run in runs],
    }


def show(runs: list[dict[str, Any]]) -> None:
    """Means over the seeds, a row for each stage in each world."""

    def cell(stage: str, world: str, name: str) -> str:
        values = [run[stage][world][name] for run in runs]
        return f"{mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"

    names = ("accuracy", "rounds", "frames_read")
    rows = [
        [f"{stage}, {world}", *(cell(stage, world, name) for name in names)]
        for stage in STAGES
        for world in WORLDS
    ]
    print(f"{len(runs)} seeds, mean (lowest to highest)\n")
    print(table(["stage, world", *(name.replace("_", " ") for name in names)], rows))


if __name__ == "__main__":
    front(__file__, __doc__, 12, run, show, combined)
