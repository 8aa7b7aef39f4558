"""`eva demo`: a tiny Qwen2.5-VL learns to plan, look and answer while you watch, without a GPU.

World, reading lesson, SFT on a sloppy teacher, KTO on its own marked attempts, GRPO; after each stage the
same held-out questions. Every step is a command that a user could type (they are printed), so this file is
also the tour of the project. What is done is not done again: an interrupted demo goes on where it stopped.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from eva_lightning.agent.config import default_dialect
from eva_lightning.agent.small_talk import agent_text
from eva_lightning.commands import collect, compare, label
from eva_lightning.commands.arguments import run_command
from eva_lightning.commands.stages import run_stage
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.synthesis.captions import captions
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.sloppy import Mistake, SloppyTeacher
from eva_lightning.data.synthesis.world import build_world, load_world
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

FAMILIES = ("colour_at", "mark_at")
CLIPS, HELD_OUT, QUESTIONS, ATTEMPTS = 100, 16, 200, 4
WORLD = ScriptSettings(duration=(60, 120), height=112, width=112)
MISTAKES: tuple[Mistake, ...] = ("guess", "thin", "flood", "flood", "elsewhere", "blurred")
STEPS = {"warmup": 250, "sft": 750, "kto": 30, "grpo": 80}
STAGES = ("sft", "kto", "grpo")
SETTINGS = "demo.settings.json"
"""How a demo began, in its folder."""


def main(words: Sequence[str]) -> None:
    run_command(demo, words, "eva demo")


def demo(
    out: str = "runs/demo",
    seed: int = 0,
    share: float = 1.0,
    fresh: bool = False,
    engine: Literal["transformers", "vllm"] = "transformers",
) -> None:
    """Train a tiny agent from nothing: world, reading, SFT, KTO, GRPO, and a table of what each brought.

    Args:
        out: Folder for everything. A demo that was interrupted there goes on where it stopped.
        seed: Dice of the world, the policy and the training.
        share: Share of the training and of the questions; 0.02 is a minute's smoke test, and learns nothing.
        fresh: Delete the folder of an earlier demo and begin again.
        engine: Who writes the turns of GRPO: the policy itself, or vLLM in this process (`make vllm`
            installs it).
    """
    if not 0 < share <= 1:
        raise UsageError(f"share is {share}: want more than 0, at most 1")
    if engine == "vllm":
        check_version(installed())  # now, and not after ten minutes
    began, folder = time.perf_counter(), Path(out)
    with sole_writer(folder.absolute(), "give another --out"):
        if fresh and folder.exists():
            _delete(folder)
        settings = {"seed": seed, "share": share, "engine": engine}
        settle(
            folder / SETTINGS, settings, f"{out} was made", "name another --out, or begin again with --fresh"
        )
        _prepare(folder, seed, share)
        for stage in STEPS:
            if stage == "kto":
                _mark(folder, seed, share)
            if not (folder / stage / "export" / "final").exists():
                beside = ["vllm"] if engine == "vllm" and stage == "grpo" else []
                _train(stage, folder, seed, share, [stage, *beside])
            if stage in STAGES:
                _examine(stage, folder, seed, share)
        _tell(folder, time.perf_counter() - began)


def _delete(folder: Path) -> None:
    """Only what a demo made: anybody can mistype a name."""
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / SETTINGS).exists()):
        raise UsageError(f"{folder} is no folder of a demo (it has no {SETTINGS}): delete it yourself")
    shutil.rmtree(folder)


def _prepare(folder: Path, seed: int, share: float) -> None:
    """The world, the sloppy teacher's trajectories, the captions, and a policy with random weights."""
    if (folder / "tiny").exists():
        return
    world, clips = folder / "world", max(4, round(CLIPS * share))
    _say("a world of clips with questions, and a teacher who is often sloppy")
    with tqdm(total=clips + 2, desc="rendering clips", unit="clip") as bar:
        files = build_world(
            world,
            clips + min(HELD_OUT, clips // 2),
            WORLD,
            families=FAMILIES,
            per_family=8,
            open_share=1.0,
            seed=seed,
            held_out=min(HELD_OUT, clips // 2),
            progress=lambda done, total: _advance(bar, done, total),
        )
    dialect = default_dialect(seconds=True)
    teacher = SloppyTeacher(files.scripts, files.tasks, dialect, seed, rate=0.6, mistakes=MISTAKES)
    made = teach("teacher", teacher, files.tasks, 1, dialect, seed)
    print(summary_table([("sloppy teacher", summarize(made))]))
    lessons = list(captions(files.scripts[:clips], world, seed, traits=("background", "mark")))
    for name, rows in (("sloppy", made), ("captions", lessons)):
        write(world / f"{name}.jsonl", [portable(one, world) for one in rows])
    corpus = [message.text for one in made for message in one.messages]
    corpus += [turn.text for one in lessons for turn in one.turns]
    with appearing(folder / "tiny") as part:
        build_tiny(part, seed=seed, hidden=64, layers=4, vocab=512, corpus=[*agent_text(), *corpus * 2])


def _train(stage: str, folder: Path, seed: int, share: float, configs: Sequence[str]) -> None:
    before = {"warmup": "tiny", "sft": "warmup", "kto": "sft", "grpo": "kto"}[stage]
    start = folder / before / ("" if before == "tiny" else "export/final")
    data = {
        "warmup": ("trajectories", folder / "world" / "captions.jsonl"),
        "sft": ("trajectories", folder / "world" / "sloppy.jsonl"),
        "kto": ("trajectories", folder / "feedback.jsonl"),
        "grpo": ("tasks", folder / "world"),
    }[stage]
    steps = max(2, round(STEPS[stage] * share))
    # An iteration of GRPO makes no step if every group agrees, so its length is counted in batches.
    length = "limit_train_batches" if stage == "grpo" else "max_steps"
    words = ["fit", *(word for name in configs for word in ("--config", f"demo/{name}.yaml"))]
    words += [f"--seed_everything={seed}"]
    words += [f"--trainer.default_root_dir={folder / stage}", f"--trainer.{length}={steps}"]
    words += [f"--model.seed={seed}", f"--model.policy.path={start}"]
    words += [f"--data.{data[0]}={data[1]}", f"--data.seed={seed}"]
    if stage != "warmup":
        words += [f"--data.eval_tasks={folder / 'world'}"]
    if (folder / stage / "checkpoints" / "last.ckpt").exists():
        words += ["--ckpt_path=last"]
    _run(words, run_stage)


def _mark(folder: Path, seed: int, share: float) -> None:
    """The policy's own attempts, marked good or bad by rule."""
    if (folder / "feedback.jsonl").exists():
        return
    attempts, marked = str(folder / "attempts.jsonl"), str(folder / "feedback.jsonl")
    _collect(folder, "sft", folder / "world" / "tasks.jsonl", attempts, round(640 * share) + 16, 1, 1.0, seed)
    # A smoke test's policy has no good attempt to learn from; it borrows the teacher's.
    files = [attempts] if share == 1 else [attempts, str(folder / "world" / "sloppy.jsonl")]
    words = ["label", "--trajectories", json.dumps(files), "--out", marked]
    words += ["--rules.density.few=8"]  # so many frames of one visual token each are no waste here
    _run(words, lambda words: label.main(words[1:]))


def _examine(stage: str, folder: Path, seed: int, share: float) -> None:
    """The held-out questions: several attempts with dice, and one without."""
    questions, tasks = max(4, round(QUESTIONS * share)), folder / "world" / "held_out.jsonl"
    _collect(
        folder, stage, tasks, str(folder / "held_out" / f"{stage}.jsonl"), questions, ATTEMPTS, 1.0, seed
    )
    _collect(folder, stage, tasks, str(folder / "greedy" / f"{stage}.jsonl"), questions, 1, 0.0, seed)


def _collect(
    folder: Path, stage: str, tasks: Path, out: str, limit: int, attempts: int, temperature: float, seed: int
) -> None:
    words = [
        "collect",
        "--tasks",
        str(tasks),
        "--out",
        out,
        "--model",
        str(folder / stage / "export" / "final"),
    ]
    words += ["--limit", str(limit), "--attempts", str(attempts), "--agent.temperature", str(temperature)]
    words += ["--seed", str(seed), "--concurrency", "64"]
    words += ["--agent.limits.turns=4", "--agent.limits.turn_tokens=96", "--agent.limits.total_tokens=1536"]
    _run(words, lambda words: collect.main(words[1:]))


def _tell(folder: Path, seconds: float) -> None:
    """One trajectory as the agent lived it, the table, and where to look further."""
    stages = [folder / "held_out" / f"{stage}.jsonl" for stage in STAGES]
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


def _advance(bar: tqdm, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)
