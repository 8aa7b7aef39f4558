"""`eva demo`: a tiny Qwen2.5-VL learns to plan, look and answer while you watch, without a GPU.

World, reading lesson, SFT on a sloppy teacher, KTO on its own marked attempts, GRPO; after each stage the
same held-out questions. Every step is a command that a user could type (they are printed), so this file is
also the tour of the project. What is taught to which kind of agent is in courses.py. What is done is not done
again: an interrupted demo goes on where it stopped.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.commands import collect, compare, label
from eva_lightning.commands.arguments import run_command
from eva_lightning.commands.courses import COURSES, Course
from eva_lightning.commands.stages import run_stage
from eva_lightning.data.synthesis.world import load_world
from eva_lightning.engines.vllm.adapter import check_version, installed
from eva_lightning.faults import UsageError
from eva_lightning.files.atomic import appearing
from eva_lightning.files.lock import sole_writer
from eva_lightning.files.settings_file import settle
from eva_lightning.files.store import portable, read, write
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Trajectory
from eva_lightning.reports.summary import summarize, summary_table
from eva_lightning.reports.transcript import transcript

ATTEMPTS = 4
SETTINGS = "demo.settings.json"
"""How a demo began, in its folder."""


def main(words: Sequence[str]) -> None:
    run_command(demo, words, "eva demo")


def demo(
    out: str | None = None,
    seed: int = 0,
    share: float = 1.0,
    fresh: bool = False,
    engine: Literal["transformers", "vllm"] = "transformers",
    agent: Literal["eva", "vital"] = "eva",
) -> None:
    """Train a tiny agent from nothing: world, reading, SFT, KTO, GRPO, and a table of what each brought.

    Args:
        out: Folder for everything; None is runs/demo, or runs/demo_vital. A demo that was interrupted there
            goes on where it stopped.
        seed: Dice of the world, the policy and the training.
        share: Share of the training and of the questions; 0.02 is a minute's smoke test, and learns nothing.
        fresh: Delete the folder of an earlier demo and begin again.
        engine: Who writes the turns of GRPO: the policy itself, or vLLM in this process (`make vllm`
            installs it).
        agent: Which kind: eva plans before it looks (SFT, KTO, GRPO); vital sees an overview of a clip of
            minutes, looks closer once and says from when to when something is shown (SFT, DGRPO). It runs to
            its end, and its tiny policy does not find the right frames yet: docs/grounding-demo.md.
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
        _prepare(course, folder, seed, share)
        for stage in course.steps:
            if stage == "kto":
                _mark(course, folder, seed, share)
            if not (folder / stage / "export" / "final").exists():
                beside = ["vllm"] if engine == "vllm" and stage == "grpo" else []
                _train(course, stage, folder, seed, share, [stage, *beside])
            if stage in course.examined:
                _examine(course, stage, folder, seed, share)
        _tell(course, folder, time.perf_counter() - began)


def _delete(folder: Path) -> None:
    """Only what a demo made: anybody can mistype a name."""
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / SETTINGS).exists()):
        raise UsageError(f"{folder} is no folder of a demo (it has no {SETTINGS}): delete it yourself")
    shutil.rmtree(folder)


def _prepare(course: Course, folder: Path, seed: int, share: float) -> None:
    """The world, the sloppy teacher's trajectories, the reading lesson, and a policy with random weights."""
    if (folder / "tiny").exists():
        return
    world = folder / "world"
    _say("a world of clips with questions, and a teacher who is often sloppy")
    rows = course.prepare(world, seed, share)
    print(summary_table([("sloppy teacher", summarize(rows["sloppy"]))]))
    for name, made in rows.items():
        write(world / f"{name}.jsonl", [portable(one, world) for one in made])
    corpus = [message.text for one in rows["sloppy"] for message in one.messages]
    lesson = Path(next(iter(course.reads.values()))).stem
    corpus += [turn.text for one in rows[lesson] for turn in one.turns]
    with appearing(folder / "tiny") as part:
        build_tiny(part, seed=seed, corpus=[*agent_text(), *corpus * 2], **course.tiny)


def _train(course: Course, stage: str, folder: Path, seed: int, share: float, configs: Sequence[str]) -> None:
    before = course.before(stage)
    start = folder / before / "export" / "final" if before else folder / "tiny"
    option, _, file = course.reads[stage].partition("=")
    steps = max(2, round(course.steps[stage] * share))
    # An iteration of GRPO makes no step if every group agrees, so its length is counted in batches.
    length = "limit_train_batches" if option == "tasks" else "max_steps"
    words = ["fit", *(word for name in configs for word in ("--config", f"{course.configs}/{name}.yaml"))]
    words += [f"--seed_everything={seed}"]
    words += [f"--trainer.default_root_dir={folder / stage}", f"--trainer.{length}={steps}"]
    words += [f"--model.seed={seed}", f"--model.policy.path={start}"]
    words += [f"--data.{option}={folder / file}", f"--data.seed={seed}"]
    if course.learns_to_act(stage):
        words += [f"--data.eval_tasks={folder / 'world'}"]
    if (folder / stage / "checkpoints" / "last.ckpt").exists():
        words += ["--ckpt_path=last"]
    _run(words, run_stage)


def _mark(course: Course, folder: Path, seed: int, share: float) -> None:
    """The policy's own attempts, marked good or bad by rule."""
    if (folder / "feedback.jsonl").exists():
        return
    attempts, marked = str(folder / "attempts.jsonl"), str(folder / "feedback.jsonl")
    _collect(
        course,
        folder,
        "sft",
        folder / "world" / "tasks.jsonl",
        attempts,
        round(640 * share) + 16,
        1,
        1.0,
        seed,
    )
    # A smoke test's policy has no good attempt to learn from; it borrows the teacher's.
    files = [attempts] if share == 1 else [attempts, str(folder / "world" / "sloppy.jsonl")]
    words = ["label", "--trajectories", json.dumps(files), "--out", marked]
    words += ["--rules.density.few=8"]  # so many frames of one visual token each are no waste here
    _run(words, lambda words: label.main(words[1:]))


def _examine(course: Course, stage: str, folder: Path, seed: int, share: float) -> None:
    """The held-out questions: several attempts with dice, and one without."""
    questions, tasks = max(4, round(course.questions * share)), folder / "world" / "held_out.jsonl"
    for name, attempts, temperature in (("held_out", ATTEMPTS, 1.0), ("greedy", 1, 0.0)):
        out = str(folder / name / f"{stage}.jsonl")
        _collect(course, folder, stage, tasks, out, questions, attempts, temperature, seed)


def _collect(
    course: Course,
    folder: Path,
    stage: str,
    tasks: Path,
    out: str,
    limit: int,
    attempts: int,
    temperature: float,
    seed: int,
) -> None:
    words = ["collect", *course.agent, "--tasks", str(tasks), "--out", out]
    words += ["--model", str(folder / stage / "export" / "final")]
    words += ["--limit", str(limit), "--attempts", str(attempts), "--agent.temperature", str(temperature)]
    words += ["--seed", str(seed), "--concurrency", "64"]
    _run(words, lambda words: collect.main(words[1:]))


def _tell(course: Course, folder: Path, seconds: float) -> None:
    """One trajectory as the agent lived it, the table, and where to look further."""
    stages = [folder / "held_out" / f"{stage}.jsonl" for stage in course.examined]
    best = [one for one in read(stages[-1], Trajectory) if one.reward or one.frames]
    if best:
        print(f"\nOne attempt of the last stage, as the agent lived it:\n\n{transcript(best[0])}\n")
    _run(
        ["compare", *map(str, stages), "--out", str(folder / "comparison")],
        lambda words: compare.main(words[1:]),
    )
    print(f"Watch the curves: tensorboard --logdir {folder}")
    print(f"Questions and frames: {load_world(folder / 'world').folder}. {seconds / 60:.1f} minutes.")


def _run(words: list[str], command: Callable[[list[str]], None]) -> None:
    """Run a command as if it had been typed."""
    _say(" ".join(["eva", *words]))
    command(words)


def _say(line: str) -> None:
    print(f"\n\033[1m> {line}\033[0m" if sys.stdout.isatty() else f"\n> {line}", flush=True)
