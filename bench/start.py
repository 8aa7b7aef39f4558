"""Start: seconds from a file of tasks to the first question asked: `python bench/start.py [--json]`.

Tasks as data sets have them (a question of some 200 characters, four options, an hour of real video with its
evidence), 1,250 to 10,000 of them with eight attempts each, all in one iteration: read and checked, shuffled,
made jobs, and begun until the engine is asked for the first time. The video of a task is opened then, and not
before. Seconds of each part (medians of three), and how many times the CPU seconds of half the tasks all of
them take: 2 is right.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from statistics import median

from bench_footage import long_video

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.rollout import Agent, jobs_for, rollout
from eva_lightning.agent.small_talk import agent_text
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.datamodules.tasks import TaskData
from eva_lightning.engines.base import Context, Engine, Sampling, Utterance
from eva_lightning.files.store import write
from eva_lightning.policy.renderer import Renderer
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import Answer, Clip, Task

COUNTS = (1_250, 2_500, 5_000, 10_000)
ATTEMPTS = 8
LIMIT = 5.0
WORDS = (
    "when the man in the blue coat opens the second door which of the two cups is still on the table".split()
)


class Asked(Exception):
    """The first question has come."""


class Waiting(Engine):
    """Is asked, and that is all that is wanted."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer

    async def write(self, context: Context, sampling: Sampling) -> Utterance:
        raise Asked


def tasks(count: int, video: Path) -> list[Task]:
    """Each about five minutes of the hour."""
    dice = random.Random(0)
    return [
        Task(
            id=f"task-{number:06}",
            source="bench",
            question=" ".join(dice.choices(WORDS, k=45)).capitalize() + "?",
            options=tuple(" ".join(dice.choices(WORDS, k=8)) for _ in range(4)),
            clips=(
                Clip(id="v", path=str(video), begin=300.0 * (number % 11), end=300.0 * (number % 11 + 1)),
            ),
            answer=Answer(kind="choice", value="B"),
            extra={"evidence": [[12.0, 18.5]], "category": "actions"},
        )
        for number in range(count)
    ]


def start(file: Path, count: int, renderer: Renderer) -> dict[str, float]:
    """Seconds of each part."""
    cpu, marks = time.process_time(), [time.perf_counter()]
    data = TaskData(str(file), batch_size=count)
    data.setup("fit")
    marks.append(time.perf_counter())
    batch = next(iter(data.train_dataloader()))
    marks.append(time.perf_counter())
    jobs = jobs_for(list(batch), replicas=ATTEMPTS)
    marks.append(time.perf_counter())
    agent = Agent(engine=Waiting(renderer), dialect=EvaDialect(), tools=[FrameSelect()], world=VideoWorld())
    try:
        asyncio.run(rollout(jobs, agent))
    except* Asked:
        marks.append(time.perf_counter())
    agent.world.close()
    names = ("read", "shuffled", "jobs", "asked")
    parts = {name: end - begin for name, begin, end in zip(names, marks[:-1], marks[1:], strict=True)}
    return parts | {"cpu": time.process_time() - cpu}


def measure() -> dict[str, float]:
    """Seconds for each number of tasks, those of the largest part by part."""
    found: dict[str, float] = {}
    cpu = []
    video = long_video(360).path
    with tempfile.TemporaryDirectory() as folder:
        renderer = Renderer.from_pretrained(str(build_tiny(Path(folder) / "tiny", corpus=agent_text())))
        for count in COUNTS:
            file = Path(folder) / f"{count}.jsonl"
            write(file, tasks(count, video))
            start(file, count, renderer)  # what is read and opened once is
            runs = [start(file, count, renderer) for _ in range(3)]
            parts = {name: median(run[name] for run in runs) for name in runs[0]}
            cpu.append(parts.pop("cpu"))
            found[f"seconds_of_{count}"] = sum(parts.values())
    found |= {f"seconds_{name}": seconds for name, seconds in parts.items()}
    found["cpu_of_twice_as_many"] = cpu[-1] / cpu[-2]
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one line: a JSON object")
    found = measure()
    if parser.parse_args().json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:20} {value:8.3f}")
    largest = found[f"seconds_of_{COUNTS[-1]}"]
    print(f"\n{COUNTS[-1]:,} tasks: at most {LIMIT:g} s: {'ok' if largest <= LIMIT else 'MISSED'}")


if __name__ == "__main__":
    main()
