"""`eva demo`: the whole walk on a machine with nothing: a world is made, agents look at real frames, a table
is printed.

Three agents answer the same questions about the same mp4 files: an oracle, a sloppy teacher, and a tiny
Qwen2.5-VL with random weights, which is where training begins.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from eva_lightning.commands.arguments import run_command
from eva_lightning.dialects.eva import EvaDialect
from eva_lightning.engines.base import Engine
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Task, Trajectory
from eva_lightning.report.summary import SUMMARY_HEADER, summarize, summary_row, table
from eva_lightning.report.transcript import transcript
from eva_lightning.rollout import Agent, Limits, jobs_for, rollout
from eva_lightning.store import write
from eva_lightning.synthesis.script import ScriptSettings
from eva_lightning.synthesis.sloppy import SloppyTeacher
from eva_lightning.synthesis.teachers import Oracle
from eva_lightning.synthesis.world import build_world
from eva_lightning.tools.frame_select import FrameSelect
from eva_lightning.worlds.video_world import VideoWorld

DIALECT = EvaDialect(timestamps="seconds")


def main(words: Sequence[str]) -> None:
    run_command(demo, words, "eva demo")


def demo(out: str = "runs/demo", videos: int = 24, per_family: int = 2, seed: int = 0) -> None:
    """Build the embedded world, let three agents answer its questions with real frames, and print the table.

    Args:
        out: Folder for clips, tasks, the tiny policy and the trajectories.
        videos: Number of clips, one to two minutes each.
        per_family: Questions of each family for each clip.
        seed: Dice; the same seed gives the same table.
    """
    began = time.perf_counter()
    folder = Path(out)
    with tqdm(total=videos, desc="rendering clips", unit="clip") as bar:
        files = build_world(
            folder,
            videos,
            ScriptSettings(),
            per_family=per_family,
            seed=seed,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    policy = load_policy(PolicyConfig(path=str(build_tiny(folder / "tiny", seed=seed))))
    agents: dict[str, Engine] = {
        "oracle": ScriptedEngine(Oracle(files.scripts, files.tasks, DIALECT), policy.renderer),
        "sloppy teacher": ScriptedEngine(
            SloppyTeacher(files.scripts, files.tasks, DIALECT, seed), policy.renderer
        ),
        "tiny random policy": TransformersEngine(policy),
    }
    rows, shown = [], ""
    for name, engine in agents.items():
        made = _answer(name, engine, files.tasks, seed)
        write(folder / f"{name.replace(' ', '-')}.jsonl", made)
        rows.append(summary_row(name, summarize(made)))
        shown = shown or transcript(max(made, key=lambda one: (one.rounds, one.task.id)))
        engine.close()
    print(f"\nOne trajectory of the oracle, as the agent lived it:\n\n{shown}\n")
    print(table(SUMMARY_HEADER, rows))
    print(f"\nTrajectories, clips and the tiny policy: {folder}. {time.perf_counter() - began:.0f} seconds.")


def _answer(name: str, engine: Engine, tasks: Sequence[Task], seed: int) -> list[Trajectory]:
    world = VideoWorld()
    limits = Limits(turns=6, turn_tokens=64 if isinstance(engine, TransformersEngine) else 512)
    agent = Agent(engine=engine, dialect=DIALECT, tools=[FrameSelect()], world=world, limits=limits)
    with tqdm(total=len(tasks), desc=name, unit="question") as bar:
        try:
            return asyncio.run(rollout(jobs_for(tasks, seed=seed), agent, on_finish=lambda _: bar.update()))
        finally:
            world.close()
