"""`eva demo`: a tiny Qwen2.5-VL learns to plan, look and answer while you watch, without a GPU.

World, reading lesson, SFT on a sloppy teacher, KTO on its own marked attempts, GRPO; after each stage the
same held-out questions. Every step is a command that a user could type (the log has them), so this file is
also the tour of the project. What is taught to which kind of agent is in courses/, and the commands that
teach it in courses/school.py. What is done is not done again: an interrupted demo goes on where it stopped.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from eva_lightning.commands import compare
from eva_lightning.commands.arguments import run_command
from eva_lightning.commands.courses import COURSES, Course
from eva_lightning.commands.courses.school import School
from eva_lightning.commands.demo_log import DemoLog
from eva_lightning.data.synthesis.world import load_world
from eva_lightning.engines.vllm.adapter import check_version, installed
from eva_lightning.faults import UsageError
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.settings_file import settle
from eva_lightning.files.store import read
from eva_lightning.records import Trajectory
from eva_lightning.reports.summary import summarize
from eva_lightning.reports.transcript import transcript
from eva_lightning.scoring import score

SETTINGS = "demo.settings.json"
"""How a demo began, in its folder."""
WORLD, STAGE = 1.0, 4.0
"""How much of the bar they are."""


def main(words: Sequence[str]) -> None:
    run_command(demo, words, "eva demo")


def demo(
    out: str | None = None,
    seed: int = 0,
    share: float = 1.0,
    fresh: bool = False,
    engine: Literal["transformers", "vllm"] = "transformers",
    agent: Literal["eva", "vital", "agentcvr", "search"] = "eva",
    verbose: bool = False,
) -> None:
    """Train a tiny agent from nothing: world, reading, SFT, KTO, GRPO, and a table of what each brought.

    A line a stage is printed; all that the commands say is in demo.log.

    Args:
        out: Folder for everything; None is runs/demo, or for another agent runs/demo_vital and so on. A demo
            that was interrupted there goes on where it stopped.
        seed: Dice of the world, the policy and the training.
        share: Share of the training and of the questions; 0.02 is a minute's smoke test, and learns nothing.
        fresh: Delete the folder of an earlier demo and begin again.
        engine: Who writes the turns of GRPO: the policy itself, or vLLM in this process (`make vllm`
            installs it).
        agent: Which kind: eva plans before it looks (SFT, KTO, GRPO); vital sees an overview of a clip of
            minutes, looks closer once and says from when to when something is shown (SFT, DGRPO; how well is
            told in docs/grounding-demo.md); agentcvr questions two clips in a world of words (SFT, GRPO;
            docs/words.md); search is eva where one look does not answer (SFT, KTO, GRPO;
            docs/wind-tunnel.md).
        verbose: Print the commands and all that they say, as it comes.
    """
    if not 0 < share <= 1:
        raise UsageError(f"share is {share}: want more than 0, at most 1")
    course = COURSES[agent]
    if engine == "vllm" and agent != "eva":
        raise UsageError("--engine vllm is for --agent eva alone")
    out = out or f"runs/{course.configs.replace('/', '_')}"
    if engine == "vllm":
        check_version(installed())  # now, and not after ten minutes
    began, folder = time.perf_counter(), Path(out)
    with sole_writer(folder.absolute(), "give another --out"):
        if fresh and folder.exists():
            _delete(folder)
        settings = {"seed": seed, "share": share, "engine": engine} | (
            {} if agent == "eva" else {"agent": agent}
        )
        settle(
            folder / SETTINGS, settings, f"{out} was made", "name another --out, or begin again with --fresh"
        )
        log = DemoLog(folder / "demo.log", WORLD + len(course.steps) * STAGE, verbose)
        try:
            with log.turned():
                _teach(School(course=course, folder=folder, seed=seed, share=share), engine, log)
        except BaseException:
            if not verbose:
                print(f"what was said is in {log.path}", file=sys.stderr)
            raise
        _tell(course, folder, time.perf_counter() - began)


def _teach(school: School, engine: str, log: DemoLog) -> None:
    """World, lessons and stages, as far as they are not there."""
    course = school.course
    with log.part("world", WORLD) as line:
        if not (school.folder / "tiny").exists():
            teacher = school.prepare()
            clips = len(load_world(school.world).scripts)
            line.append(f"{clips} clips, and a sloppy teacher who is right at {teacher:.0%} of the questions")
    for stage in course.steps:
        with log.part(stage, STAGE) as line:
            if stage == "kto":
                school.mark()
            school.train(stage, ["vllm"] if engine == "vllm" and stage == "grpo" else [])
            if stage in course.examined:
                school.examine(stage)
            line.append(_worth(course, stage, school.folder))


def _worth(course: Course, stage: str, folder: Path) -> str:
    """What a stage brought, on a line."""
    if stage not in course.examined:
        return "a lesson in reading"
    dice, greedy = (
        summarize(read(folder / name / f"{stage}.jsonl", Trajectory)) for name in ("held_out", "greedy")
    )
    return (
        f"accuracy {dice.accuracy:.3f} ({greedy.accuracy:.3f} greedily), {dice.frames:.2f} frames, "
        f"{dice.visual_tokens:.1f} visual tokens a question"
    )


def _delete(folder: Path) -> None:
    """Only what a demo made: anybody can mistype a name."""
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / SETTINGS).exists()):
        raise UsageError(f"{folder} is no folder of a demo (it has no {SETTINGS}): delete it yourself")
    shutil.rmtree(folder)


def _tell(course: Course, folder: Path, seconds: float) -> None:
    """One trajectory as the agent lived it, the table, and where to look further."""
    stages = [folder / "held_out" / f"{stage}.jsonl" for stage in course.examined]
    right = [one for one in read(stages[-1], Trajectory) if score(one.task, one.answer).correct]
    if right:
        shown = max(right, key=lambda one: (_without_errors(one), one.rounds))
        print(f"\nOne attempt of the last stage, as the agent lived it:\n\n{transcript(shown)}\n")
    compare.main([*map(str, stages), "--out", str(folder / "comparison")])
    print(f"Watch the curves: tensorboard --logdir {folder}. What every command said: {folder / 'demo.log'}")
    print(f"Questions and frames: {load_world(folder / 'world').folder}. {seconds / 60:.1f} minutes.")


def _without_errors(attempt: Trajectory) -> bool:
    """Whether every call was one that a tool could answer."""
    return not any(turn.observation is not None and turn.observation.error for turn in attempt.turns)
