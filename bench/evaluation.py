"""Evaluation: questions a second, beside the usual client's: `python bench/evaluation.py [--json]`.

Both sides ask the same questions of the same vLLM server (`eva serve`), greedily, 30 at a time, with the same
limits. Ours is what `eva test` does between reading the rows and telling of them: agent loop, frames in this
process, tokens to the server and each frame once, answers written down as they come; with the habits of EVA's
released evaluator (benchmarks/official.yaml). The other side is `reference_evaluator.py`. Before each run the
server is handed its weights anew, which empties its caches; our frame store is new; the sides take turns in
going first.

A random policy calls no tool, so a tiny one is first taught by the oracle of a small generated world, for a
minute or two: that is enough for calls and answers of the right form, and right answers are not what is
measured.

With so small a policy the server answers at once, so this is what the client costs: with a large one on a GPU
the ratio is smaller. The clips are small as well; long ones make a process a call dearer (bench/frames.py).

`same_answers` is the share of questions to which both sides gave the same answer in the same number of turns.
`same_as_ourselves` compares two runs of ours: what is missing there is the server's arithmetic, whose last
bits depend on what else is in the batch. What more is missing above comes from the pixels, because both sides
decode and scale frames with other libraries.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from statistics import median
from typing import Any

from reference_evaluator import Setup, evaluate

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.dialects.eva_official import OfficialEvaDialect
from eva_lightning.agent.rollout import Agent, Limits, jobs_for, rollout
from eva_lightning.agent.small_talk import agent_text
from eva_lightning.agent.tools.frame_select_official import OfficialFrameSelect
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.cli import main as eva
from eva_lightning.commands.synthesize import teach
from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.teachers import Oracle
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.engines.vllm.server_engine import VLLMServerEngine
from eva_lightning.engines.vllm.server_token import sure_token
from eva_lightning.files.store import portable, write
from eva_lightning.policy.loading import Policy, PolicyConfig, load_policy
from eva_lightning.policy.merged_weights import merged_weights
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Task, Trajectory
from eva_lightning.reports.benchmarks.benchmark import Benchmark, read_benchmark
from eva_lightning.reports.benchmarks.recorder import Recorder
from eva_lightning.video.frame_store import FrameStore

CLIPS, QUESTIONS, STEPS, AT_ONCE = 16, 90, 150, 30
FAMILIES = ("colour_at", "shape_at", "when")
LIMITS = Limits(turns=6, turn_tokens=128, total_tokens=4096, last_call=True)
SERVER = {"max_length": 4096, "batch_tokens": 4096, "max_frame_tokens": 256}
TARGETS = {"questions_per_s_vs_reference": 3.0, "same_answers": 1.0}

Answers = dict[int, tuple[str, int]]
"""Answer and rounds of every question, by the index of its row."""


# --- what is asked, and who answers


def make_world(folder: Path) -> tuple[list[Trajectory], list[Task]]:
    """Clips, what the oracle does with them, and the questions that are asked."""
    settings = ScriptSettings(duration=(40, 50), height=224, width=224)
    world = build_world(folder, CLIPS, settings, families=FAMILIES, per_family=3, open_share=0.0)
    dialect = EvaDialect()
    made = teach("oracle", Oracle(world.scripts, world.tasks, dialect), world.tasks, 1, dialect, 0)
    return made, list(world.tasks[:QUESTIONS])


def write_rows(file: Path, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Questions in the form of EVA's release."""
    rows = []
    for index, task in enumerate(tasks):
        assert task.answer is not None
        rows.append(
            {
                "videos": [Path(task.clips[0].path).name],
                "prompt": [{"role": "user", "content": task.text}],
                "reward_model": {"style": "rule", "ground_truth": task.answer.value},
                "index": index,
            }
        )
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def school(folder: Path, made: Sequence[Trajectory], steps: int) -> Path:
    """A tiny policy that calls the tool and answers: SFT on the oracle's trajectories."""
    file = folder / "oracle.jsonl"
    write(file, [portable(one, folder) for one in made])
    corpus = [message.text for one in made for message in one.messages]
    tiny = build_tiny(folder / "tiny", hidden=64, layers=4, vocab=512, corpus=[*agent_text(), *corpus])
    words = ["fit", "--config", "demo/sft.yaml", f"--model.policy.path={tiny}", f"--data.trajectories={file}"]
    words += ["--model.agent.dialect=EvaDialect", "--data.eval_tasks=null", "--model.policy.dtype=float32"]
    words += [
        f"--trainer.max_steps={steps}",
        f"--trainer.default_root_dir={folder}",
        "--trainer.logger=false",
    ]
    words += ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    with (folder / "fit.log").open("w") as log, redirect_stdout(log), redirect_stderr(log):
        status = eva(words)
    if status:
        raise SystemExit(f"the policy was not taught: {(folder / 'fit.log').read_text()[-2000:]}")
    return folder / "export" / "final"


@contextmanager
def serving(model: Path, folder: Path) -> Iterator[str]:
    """A vLLM server that may read the files in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = SERVER | {"options": json.dumps({"allowed_local_media_path": str(folder)})}
    words = [sys.executable, "-m", "eva_lightning", "serve", "--model", str(model), "--port", str(port)]
    words += ["--dtype", "float32", *(f"--settings.{name}={value}" for name, value in settings.items())]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


# --- the two sides


class Bench:
    """One server, and the same questions for both sides."""

    def __init__(self, folder: Path, model: Path, url: str, rows: list[dict[str, Any]]) -> None:
        self.folder, self.rows = folder, rows
        shape = RowShape(
            id="index",
            video="videos",
            question="prompt",
            answer="reward_model.ground_truth",
            answer_index="A",
            option_style="A. ",
            keep_wording=True,
        )
        file, videos = str(folder / "rows.jsonl"), str(folder / "clips")
        named = Benchmark(name="bench", file=file, videos=videos, shape=shape)
        self.tasks, broken = read_benchmark(named)
        assert not broken and len(self.tasks) == len(rows)
        self.policy: Policy = load_policy(PolicyConfig(path=str(model), dtype="float32"))
        self.engine = VLLMServerEngine(self.policy, [url], patience=300)
        self.setup = Setup(
            url=url,
            model=str(model),
            token=sure_token().secret,
            videos=folder / "clips",
            frames=folder / "frames",
            items=AT_ONCE,
            turns=LIMITS.turns,
            turn_tokens=LIMITS.turn_tokens,
        )
        self.runs = 0

    def forget(self) -> None:
        """New weights empty every cache of the server."""
        self.runs += 1
        self.engine.take_weights(lambda: merged_weights(self.policy.backbone), self.runs)

    def ours(self) -> Answers:
        recorder = Recorder(self.folder / f"ours-{self.runs}", root=self.folder / "clips")
        world = VideoWorld(FrameStore(coarse="never"))
        agent = Agent(
            engine=self.engine,
            dialect=OfficialEvaDialect(),
            tools=[OfficialFrameSelect()],
            world=world,
            limits=LIMITS,
            temperature=0.0,
        )
        recorder.begin({}, lambda one: sum(world.describe(clip).duration for clip in one.task.clips))
        work = rollout(
            jobs_for(self.tasks), agent, concurrency=AT_ONCE, on_finish=recorder.append, keep=False
        )
        asyncio.run(work)
        recorder.close()
        world.close()
        return {int(one.index): (one.answer, one.num_rounds) for one in recorder.answered()}

    def theirs(self) -> Answers:
        return {one["index"]: (one["answer"], one["num_rounds"]) for one in evaluate(self.rows, self.setup)}

    def timed(self, side: Callable[[], Answers]) -> tuple[float, Answers]:
        self.forget()
        began = time.perf_counter()
        answers = side()
        took = time.perf_counter() - began
        assert len(answers) == len(self.rows), "a question has no answer"
        return took, answers


def measure(rounds: int, steps: int) -> dict[str, float]:
    """Both sides in turn, so that what else the machine does falls on both."""
    with tempfile.TemporaryDirectory(prefix="evaluation") as name:
        folder = Path(name)
        made, tasks = make_world(folder)
        rows = write_rows(folder / "rows.jsonl", tasks)
        model = school(folder, made, steps)
        with serving(model, folder) as url:
            bench = Bench(folder, model, url, rows)
            bench.ours()  # warms up the server and the decoders
            took: dict[str, list[float]] = {"ours": [], "theirs": []}
            told: dict[str, list[Answers]] = {"ours": [], "theirs": []}
            sides = {"ours": bench.ours, "theirs": bench.theirs}
            for turn in range(rounds):
                for side in sorted(sides, reverse=bool(turn % 2)):
                    seconds, answers = bench.timed(sides[side])
                    took[side].append(seconds)
                    told[side].append(answers)
            bench.engine.close()
    mine, other = told["ours"][0], told["theirs"][0]
    for index in [index for index in mine if mine[index] != other[index]][:3]:
        print(f"question {index}: ours {mine[index]}, theirs {other[index]}", file=sys.stderr)
    found = {
        "questions_per_s_vs_reference": median(
            theirs / ours for theirs, ours in zip(took["theirs"], took["ours"], strict=True)
        ),
        "same_answers": same(mine, other),
        "same_as_ourselves": same(mine, told["ours"][-1]),
        "questions_per_s": len(rows) / median(took["ours"]),
        "questions_per_s_reference": len(rows) / median(took["theirs"]),
        "rounds": sum(rounds for _, rounds in mine.values()) / len(mine),
        "answered": sum(bool(answer) for answer, _ in mine.values()) / len(mine),
        "load": os.getloadavg()[1],
    }
    return {name: round(value, 3) for name, value in found.items()}


def same(mine: Answers, other: Answers) -> float:
    return sum(mine[index] == other[index] for index in mine) / len(mine)


def show(found: dict[str, float]) -> None:
    print(f"{QUESTIONS} questions, {AT_ONCE} at a time, {os.cpu_count()} cores, load {found['load']:.1f}")
    print(f"{found['rounds']:.2f} turns a question, {found['answered']:.0%} answered\n")
    print(f"{'questions a second, ours':40s} {found['questions_per_s']:7.2f}")
    print(f"{'questions a second, the usual client':40s} {found['questions_per_s_reference']:7.2f}")
    print(f"{'the same answers in two runs of ours':40s} {found['same_as_ourselves']:7.1%}\n")
    for name, target in TARGETS.items():
        good = found[name] >= target
        print(f"{name:28s} {found[name]:6.2f}  at least {target:<4g} {'ok' if good else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="one line: a JSON object")
    parser.add_argument("--rounds", type=int, default=2, help="how often each side runs")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps in which the policy is taught")
    arguments = parser.parse_args()
    found = measure(arguments.rounds, arguments.steps)
    print(json.dumps(found)) if arguments.json else show(found)


if __name__ == "__main__":
    main()
