"""An evaluation's memory does not grow with the number of questions: what is answered is on disk, and only
there. Run as a program it is one evaluation:
`python -m tests.reports.benchmarks.test_memory FOLDER QUESTIONS`.
"""

import subprocess
import sys
from pathlib import Path

from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.rollout import Limits
from eva_lightning.agent.worlds.base import ClipFacts, Glimpse, World
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.modules.acting import ActingModule, EvaluationConfig
from eva_lightning.modules.ahead import Ahead
from eva_lightning.records import FrameRef
from eva_lightning.reports.benchmarks.benchmark import Benchmark
from eva_lightning.reports.benchmarks.recorder import Recorder
from eva_lightning.reports.benchmarks.tables import report
from tests.making import task

ROOT = Path(__file__).parents[3]
FRAMES = 500
"""A trajectory that shows so many is about 110 kB: a thousand, kept, make the peak 1.28 times as high."""


class Hours(World):
    """Clips of an hour that are nowhere, and that nobody takes down."""

    def describe(self, clip):
        return ClipFacts(duration=3600.0, height=360, width=640, fps=25.0)

    async def look(self, clip, times, height, width):
        refs = [FrameRef(clip=clip.id, time=round(time, 6), height=height, width=width) for time in times]
        return [Glimpse(time=ref.time, content=ref) for ref in refs]

    def pixels(self, clip, frame):
        raise AssertionError("a scripted engine looks at no frame")


class Asked(ActingModule):
    """Looks at the whole clip, then answers."""

    def __init__(self):
        super().__init__()
        self.cast(AgentConfig(world=Hours(), limits=Limits(total_tokens=100_000)))
        look = self.dialect.call("frame_select", start_time=0, end_time=3600, nframes=FRAMES, resize=0.01)
        answer = self.dialect.reply("B")
        self.engine = ScriptedEngine(lambda context: look if len(context.messages) == 2 else answer)
        self.evaluation = EvaluationConfig()
        self.concurrency, self.iteration = 30, 0
        self.ahead = Ahead(self.concurrency)


def evaluate(folder, count):
    """Ask so many questions, and tell of them."""
    tasks = [task(id=f"Mine/{i}", source="Mine", extra={"index": i}) for i in range(count)]
    recorder = Recorder(folder)
    recorder.begin({}, lambda _: 3600.0)
    Asked().answer_all(tasks, done=recorder.done(), on_finish=recorder.append)
    recorder.close()
    told = report(Benchmark(name="Mine", file="", videos=""), recorder.answered(), [])
    assert f"Mine: {count} questions answered" in told and f"  {FRAMES}.0 " in told


def peak():
    """The most memory this process ever had, in kilobytes. (getrusage would tell the parent's, if larger.)"""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1])


def measured(folder, count):
    words = [sys.executable, "-m", "tests.reports.benchmarks.test_memory", str(folder), str(count)]
    return int(
        subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120).stdout
    )


def test_a_thousand_questions_take_the_memory_of_a_hundred(tmp_path):
    few, many = (measured(tmp_path / str(count), count) for count in (100, 1000))
    assert many <= 1.1 * few


if __name__ == "__main__":
    evaluate(sys.argv[1], int(sys.argv[2]))
    print(peak())
