"""The page "From a folder of videos and questions to a trained agent", line by line as it is printed: real
clips, a tiny policy that is really trained, and a script behind HTTP where the page has a teacher of 72B
parameters.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from eva_lightning.cli import main
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.files.store import read
from eva_lightning.records import Task, Trajectory
from eva_lightning.scoring import score
from tests.data.teaching.oracle_server import OracleServer
from tests.engines.test_server_engine import serving

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "your-own-videos.md").read_text()
LINES = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SETTINGS = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
NEW = {"options": ["a cat", "a dog", "a cow", "a hen"], "answer": "a cow", "start": 2.0, "end": 6.0}


class Everybody(OracleServer):
    """The teacher as everybody it is on the page: who demonstrates, who judges, and who writes questions."""

    def turn(self, body):
        first = body["messages"][0]["content"]
        parts = first if isinstance(first, list) else [{"type": "text", "text": first}]
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        if '"verdict"' in text:
            return json.dumps({"reason": "it is shown", "verdict": "sufficient"})
        if "failed at these questions" in text:
            return json.dumps([{"question": f"Which animal has the number {i}?", **NEW} for i in (1, 2)])
        if "Which animal has the number" in text:
            return NEW["answer"] if any(part["type"] == "image_url" for part in parts) else "who knows"
        return super().turn(body)


@pytest.fixture
def brought(tmp_path, monkeypatch, tiny_folder):
    """What the page says that one brings: questions in a file, videos, more videos; and configs that name the
    server of the test."""
    world = build_world(tmp_path / "world", 6, SETTINGS, families=["colour_at"], per_family=4, open_share=0.0)
    data = tmp_path / "data"
    for name, clips in (("videos", world.scripts[:5]), ("unseen", world.scripts[5:])):
        (data / name).mkdir(parents=True)
        for clip in clips:
            shutil.copy(world.folder / "clips" / f"{clip.id}.mp4", data / name)
    shown = {script.id for script in world.scripts[:5]}
    asked = [task for task in world.tasks if task.clips[0].id in shown]
    (data / "questions.json").write_text(json.dumps([cg_bench(i, task) for i, task in enumerate(asked)]))
    monkeypatch.chdir(tmp_path)
    return world


def cg_bench(number, task):
    """A task as CG-Bench would write it down."""
    return {
        "qid": number,
        "video_uid": task.clips[0].id,
        "question": task.question,
        "choices": list(task.options),
        "right_answer": task.answer.value,
        "answer": task.options[task.letters.index(task.answer.value)],
        "clue_intervals": [[span.start, span.end] for span in task.evidence],
        "duration": 60,
        "domain": "Embedded",
        "sub_category": "Colour",
    }


def configs_for(url):
    """Copies of the page's configs: another server, and new questions at once, not every 20 iterations."""
    Path("eva").mkdir()
    for config in (ROOT / "configs" / "eva").glob("*.yaml"):
        text = config.read_text().replace("http://localhost:8000", url)
        text = text.replace("every: 20", "every: 1").replace("count: 256", "count: 2\n        delay: 1")
        (Path("eva") / config.name).write_text(text)


def small(words, tiny, attempts_by):
    """The words of a line, and what makes it end in seconds on a CPU."""
    words = ["0.4" if word == "0.1" else word for word in words]  # of five videos, not of hundreds
    if words[0] == "collect":
        words += ["--concurrency", "4", "--agent.dialect=EvaDialect", "--agent.dialect.timestamps=seconds"]
        if (
            "vllm" in words
        ):  # the tiny policy solves nothing: a server that errs now and then makes its attempts
            place = words.index("--model")
            words[place : place + 4] = ["--server", attempts_by]
        elif "--model" in words:
            words += ["--agent.limits.turn_tokens=8"]
    if words[0] == "fit":
        stage = words[2].removeprefix("eva/").removesuffix(".yaml")
        words += ["--model.policy.path", str(tiny)] if stage == "sft" else []
        words += ["--model.policy.dtype=float32", "--trainer.precision=32-true", "--trainer.accelerator=cpu"]
        words += ["--data.batch_size=2", "--trainer.max_epochs=1", "--trainer.limit_train_batches=3"]
        words += [
            "--data.eval_limit=2",
            "--trainer.limit_val_batches=1",
            "--model.agent.limits.turn_tokens=8",
        ]
        words += ["--model.concurrency=4", *(["--model.attempts=2"] if stage == "grpo" else [])]
    return words


def test_every_line_of_the_page_works(brought, tiny_folder, capsys):
    with serving(Everybody(brought)) as (teacher, _), serving(Everybody(brought, wrong=2)) as (learner, _):
        configs_for(teacher)
        for line in LINES:
            command, *words = shlex.split(line)
            assert command == "eva"
            assert main(small(words, tiny_folder, learner)) == 0, f"{line}\n{capsys.readouterr().err}"
    data = Path("data")
    tasks, held_out = read(data / "tasks.jsonl", Task), read(data / "tasks.held_out.jsonl", Task)
    assert (len(tasks), len(held_out)) in {(16, 4), (12, 8)}  # one or two videos of five
    assert not {one.clips for one in tasks} & {one.clips for one in held_out}
    shown = read(data / "demonstrations.jsonl", Trajectory)
    assert {one.task.id for one in shown} == {one.id for one in tasks}
    assert all(score(one.task, one.answer).correct for one in shown)
    assert {one.desirable for one in read(data / "feedback.jsonl", Trajectory)} == {True, False}
    sifted = read(data / "sifted.jsonl", Task)
    assert 0 < len(sifted) <= len(tasks) and all(0 < one.extra["solved"][0] < 8 for one in sifted)
    mined = [
        task for file in sorted(Path("runs/eva/grpo/mined").glob("*0?.jsonl")) for task in read(file, Task)
    ]
    assert mined and {Path(one.clips[0].path).parent.name for one in mined} == {"unseen"}
    assert Path("runs/eva/grpo/export/final/config.json").exists()
    assert Path("runs/eva/held_out.html").stat().st_size > 10_000
    assert read(data / "back.jsonl", Trajectory) == read(data / "feedback.jsonl", Trajectory)
