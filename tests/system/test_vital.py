"""The page "VITAL in four stages", line by line as it is printed: a tiny policy goes through all four."""

import asyncio
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from eva_lightning.agent import AgentConfig, Limits, Overview, jobs_for, rollout
from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.cli import main
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world, load_tasks
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.files.store import read, write
from eva_lightning.records import Task, Trajectory

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "vital.md").read_text()
BLOCKS = re.findall(r"```(yaml|bash)\n(.*?)```", PAGE, re.DOTALL)
LINES = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
SETTINGS = ScriptSettings(duration=(60, 60), height=112, width=112, fps=2)
DIALECT = VitalDialect()


def taught(tasks, *, tool):
    """Trajectories in VITAL's spelling that are right, after a look at the evidence if there is a tool."""

    def write_turn(context):
        task = next(one for one in tasks if one.id == context.task_id)
        answer = f"<think>I see it.</think>{DIALECT.reply(str(task.answer.value))}"
        if not tool or context.messages[-1].role == "tool":
            return answer
        at = min(max(task.evidence[0].start - 1, 0), 57)
        return "<think>Look.</think>" + DIALECT.call(ClipFrames.name, start_time=at, end_time=at + 2)

    config = AgentConfig(
        dialect=DIALECT,
        tools=[ClipFrames()] if tool else [],
        overview=Overview(frames=4, frame_tokens=4),
        limits=Limits(turns=2),
    )
    agent = config.agent(ScriptedEngine(write_turn))
    made = asyncio.run(rollout(jobs_for(tasks), agent))
    agent.world.close()
    return made


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """What the page says that one brings: a file for each source, a video to ask, the agents of the page."""
    world = build_world(
        tmp_path / "world", 2, SETTINGS, families=["colour_at"], per_family=4, open_share=1.0, held_out=1
    )
    tasks = load_tasks(tmp_path / "world")
    monkeypatch.chdir(tmp_path)
    rows = {False: taught(tasks, tool=False), True: taught(tasks, tool=True)}
    assert all(len(one.turns[0].observation.frames) == 4 for one in rows[True])
    for config in sorted((ROOT / "configs" / "vital").glob("*.yaml")):
        data = yaml.safe_load(config.read_text())["data"]["init_args"]
        for source in data.get("tasks", []) + data.get("trajectories", []):
            file = Path(source if isinstance(source, str) else source["path"])
            file.parent.mkdir(parents=True, exist_ok=True)
            own = [replace(one, id=f"{file.stem}/{one.id}") for one in tasks]
            write(file, own if "tasks" in data else rows["tool" in config.stem])
    write(Path("data/mtvr/held_out.jsonl"), [replace(one, id=f"held out {one.id}") for one in tasks[:2]])
    shutil.copy(world.folder / "clips" / f"{world.scripts[0].id}.mp4", "talk.mp4")
    for kind, text in BLOCKS:
        if kind == "yaml":
            Path(text.partition("\n")[0].removeprefix("# ")).write_text(text)


def small(words, tiny):
    """The words of a line, and what makes it end in seconds on a CPU."""
    if words[0] != "fit":
        return [*words, "--agent.limits.turn_tokens=8"]
    stage = Path(words[2]).stem
    words += ["--model.policy.path", str(tiny)] if stage.startswith("1") else []
    words += ["--model.policy.dtype=float32", "--trainer.precision=32-true", "--trainer.accelerator=cpu"]
    words += ["--data.batch_size=2", "--trainer.limit_train_batches=2", "--data.eval_limit=1"]
    words += [
        "--model.agent.limits.turn_tokens=8",
        "--model.agent.overview.frames=8",
        "--model.concurrency=4",
    ]
    return words + (["--model.attempts=2"] if "dgrpo" in stage else [])


def test_every_line_of_the_page_works(brought, tiny_folder, capsys):
    for line in LINES:
        command, *words = shlex.split(line, comments=True)
        assert command == "eva"
        assert main(small(words, tiny_folder)) == 0, f"{line}\n{capsys.readouterr().err}"
    for stage in ("1_sft", "2_dgrpo", "3_sft_tool", "4_dgrpo_tool"):
        assert (Path("runs/vital") / stage / "export" / "final" / "config.json").exists()
    held_out, made = read(Path("data/mtvr/held_out.jsonl"), Task), read(Path("attempts.jsonl"), Trajectory)
    assert len(made) == 2 * len(held_out) and all(len(one.frames) == 16 for one in made)
    for tool in ("frame_select", "get_video_clip_frame"):
        assert f'"name": "{tool}"' in made[0].prompt[0].text
    assert "4 of 4 trajectories are made again as they were recorded" in capsys.readouterr().out


def test_the_tools_that_were_dropped_are_a_few_lines_of_a_config(brought, tiny_folder):
    words = f"collect --config caption.yaml --tasks data/mtvr/held_out.jsonl --model {tiny_folder}"
    assert main([*words.split(), "--out=told.jsonl", "--agent.limits.turn_tokens=8", "--limit=1"]) == 0
    (one,) = read(Path("told.jsonl"), Trajectory)
    assert '"name": "get_video_clip_caption"' in one.prompt[0].text
