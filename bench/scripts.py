"""Scripts: what is learned in words is worth as much on videos: `python bench/scripts.py [--json] [--rerun]`.

A tiny text model learns by SFT from a sloppy teacher and by GRPO, both in a `ScriptWorld`; then it answers
questions about clips that no training task shows: there, where a describer forgets and errs, and on the mp4
files of the same scripts, told by who reads their pixels. `--rerun` trains anew; `--seeds` are its dice.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from recorded import front

from eva_lightning.agent import AgentConfig, Limits, World, jobs_for, rollout
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.small_talk import agent_text
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.agent.worlds.described import Described
from eva_lightning.agent.worlds.noisy import Noisy
from eva_lightning.agent.worlds.script_world import ScriptWorld, Sighting, told
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.data.synthesis.in_words import in_words
from eva_lightning.data.synthesis.picture import draw
from eva_lightning.data.synthesis.render import render
from eva_lightning.data.synthesis.script import (
    BACKGROUNDS,
    INKS,
    MARKS,
    SHAPES,
    Scene,
    ScriptSettings,
    write_script,
)
from eva_lightning.data.synthesis.which_clip import WordTeacher, which_clip
from eva_lightning.data.synthesis.world import clip_seed
from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.files.store import located, write
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import PATCH, Task, Trajectory
from eva_lightning.reports.summary import summarize, table
from eva_lightning.video.decoder import Pixels
from eva_lightning.video.frame_store import FrameStore

SETTINGS = ScriptSettings(duration=(40, 90), height=112, width=112, cues=0.0)
TRAIN, HELD_OUT, QUESTIONS, ATTEMPTS = 40, 12, 100, 4
NOISE = {"forget": 0.1, "paraphrase": 0.2, "wrong": 0.1}
SIDE = 112
"""Pixels of a frame's side, in the videos and as it is read."""
STAGES = ("sft", "grpo")
WORLDS = ("script", "noisy", "rendered")
DIALECT = ReActDialect(system="Answer in JSON.", explain_tools=False, decimals=0)
LIMITS = Limits(turns=3, turn_tokens=112, total_tokens=1024)


class Eyes(Engine):
    """Sees what an embedded clip shows: of all pictures that there can be, the nearest to the pixels."""

    def __init__(self) -> None:
        self._names = list(product(BACKGROUNDS, SHAPES, INKS))
        scenes = [Scene(background=b, shape=s, ink=i, mark="rows") for b, s, i in self._names]
        self._pictures = np.stack([self._flat(draw(scene, SIDE, SIDE)) for scene in scenes])
        plates = [[draw(replace(scenes[0], mark=mark), SIDE, SIDE, n) for n in range(16)] for mark in MARKS]
        self._plates = np.stack([np.mean([self._plate(one) for one in drawn], axis=0) for drawn in plates])

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        return Utterance(text=await asyncio.to_thread(self._tell, context))

    def _tell(self, context: Context) -> str:
        frames = context.messages[0].frames
        return told(Sighting(one.clip, one.time, self._words(context.pixels(one))) for one in frames)

    def _words(self, pixels: Pixels) -> str:
        background, shape, ink = self._names[self._nearest(self._pictures, self._flat(pixels))]
        mark = MARKS[self._nearest(self._plates, self._plate(pixels))]
        return Scene(background=background, shape=shape, ink=ink, mark=mark).sentence

    @staticmethod
    def _nearest(rows: NDArray[np.float32], one: NDArray[np.float32]) -> int:
        return int(((rows - one) ** 2).sum(1).argmin())

    @staticmethod
    def _flat(pixels: Pixels) -> NDArray[np.float32]:
        return pixels[::2, ::2].astype(np.float32).ravel()

    @staticmethod
    def _plate(pixels: Pixels) -> NDArray[np.float32]:
        return pixels[-PATCH:, -PATCH:].mean(-1).astype(np.float32).ravel()


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
    return found


def prepare(folder: Path, seed: int) -> list[Task]:
    """Scripts in words and as videos, questions, a sloppy teacher's trajectories, a policy of chance."""
    scripts = [write_script(clip_seed(seed, number), SETTINGS) for number in range(TRAIN + HELD_OUT)]
    world = folder / "world"
    write(world / "scripts.jsonl", [in_words(script) for script in scripts])
    for script in scripts[TRAIN:]:
        render(script, world / "clips" / f"{script.id}.mp4")
    tasks = which_clip(scripts[:TRAIN], 1600, seed)
    held_out = which_clip(scripts[TRAIN:], QUESTIONS, seed + 1)
    write(world / "tasks.jsonl", tasks)
    write(world / "held_out.jsonl", held_out)
    teacher = WordTeacher(tasks, DIALECT, seed, sloppy=0.6)
    made = act(ScriptedEngine(teacher), words(folder), tasks, seed)
    write(world / "sloppy.jsonl", made)
    corpus = [message.text for one in made for message in one.messages]
    build_tiny(
        folder / "tiny",
        corpus=[*agent_text(), *corpus],
        family="qwen3",
        seed=seed,
        hidden=64,
        layers=4,
        vocab=512,
    )
    return [located(task, world) for task in held_out]


def words(folder: Path) -> ScriptWorld:
    """The world in which it learns."""
    return ScriptWorld(str(folder / "world" / "scripts.jsonl"), fps=SETTINGS.fps, size=(SIDE, SIDE))


def world_of(name: str, folder: Path) -> World:
    """The world of words, the same with mistakes, or the videos of its scripts, seen by eyes."""
    if name == "rendered":
        return Described(VideoWorld(FrameStore(coarse="never")), Eyes(), side=SIDE)
    return Noisy(words(folder), **NOISE) if name == "noisy" else words(folder)


def act(engine: Engine, world: World, tasks: list[Task], seed: int, attempts: int = 1) -> list[Trajectory]:
    """What an engine does in a world."""
    agent = AgentConfig(dialect=DIALECT, tools=[Observe()], world=world, limits=LIMITS).agent(engine)
    try:
        return asyncio.run(rollout(jobs_for(tasks, replicas=attempts, seed=seed), agent))
    finally:
        world.close()


def train(folder: Path, seed: int, stage: str, policy: Path) -> None:
    """One stage, as one would type it."""
    world = folder / "world"
    data = f"--data.trajectories={world / 'sloppy.jsonl'}" if stage == "sft" else f"--data.tasks={world}"
    command = [
        *(sys.executable, "-m", "eva_lightning", "fit", "--config", f"demo/agentcvr/{stage}.yaml"),
        *(f"--seed_everything={seed}", f"--model.seed={seed}", f"--data.seed={seed}", data),
        *(f"--model.policy.path={policy}", f"--data.eval_tasks={world}"),
        f"--model.agent.world.init_args.scripts={world / 'scripts.jsonl'}",
        f"--trainer.default_root_dir={folder / stage}",
    ]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


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


def combined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and the differences that matter."""

    def accuracy(stage: str, world: str) -> float:
        return mean(run[stage][world]["accuracy"] for run in runs)

    def frames(stage: str) -> float:
        return mean(run[stage]["script"]["frames_read"] for run in runs)

    learned = accuracy("grpo", "script")
    speed = [run["calls_per_second"]["script"] / run["calls_per_second"]["rendered"] for run in runs]
    return {
        "accuracy": {
            stage: {world: round(accuracy(stage, world), 4) for world in WORLDS} for stage in STAGES
        },
        "gain": round(learned - accuracy("sft", "script"), 4),
        "gain_rendered": round(accuracy("grpo", "rendered") - accuracy("sft", "rendered"), 4),
        "transfer_gap": round(learned - accuracy("grpo", "rendered"), 4),
        "noise_drop": round(learned - accuracy("grpo", "noisy"), 4),
        "frames_grpo_over_sft": round(frames("grpo") / frames("sft"), 4),
        "script_vs_rendered_speed": round(mean(speed), 2),
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
