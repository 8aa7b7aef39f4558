"""`eva replay`: equal to the last token with the same policy and video; else the first place that differs."""

import asyncio
import re
import shutil
from dataclasses import replace

import pytest

from eva_lightning.agent import Agent, Limits, Overview, jobs_for, rollout
from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.agent.small_talk import agent_text
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.cli import main
from eva_lightning.data.synthesis.render import render
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.data.synthesis.world import build_world, load_tasks
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.files.store import portable, read, write
from eva_lightning.policy.renderer import Renderer
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.records import FrameRef, Trajectory

FRAMES = "--agent.overview.frames 2 --agent.limits.turn_tokens 12 --agent.limits.turns 2"


def settings(seconds=30):
    return ScriptSettings(duration=(seconds, seconds), height=112, width=112, fps=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_folder):
    """A world of a clip, two frames of which a tiny policy is shown before it says something."""
    folder = tmp_path_factory.mktemp("world")
    build_world(folder, 1, settings(), families=["colour_at", "when"], per_family=1)
    shared = f"collect --tasks {folder} --concurrency 1 --out {folder}"
    words = f"{shared}/policy.jsonl --model {tiny_folder} --attempts 2 {FRAMES}"
    assert main(words.split()) == 0
    assert main(f"{shared}/oracle.jsonl --oracle".split()) == 0
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy, to be changed."""
    return shutil.copytree(made, tmp_path / "copy")


def replayed(capsys, words):
    """Status, and the lines of the trajectories and of the sum."""
    capsys.readouterr()
    try:
        status = main(["replay", *words.split()])
    except SystemExit as leaving:
        status = leaving.code
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return status, said.out.splitlines(), said.err


def change(file, number, edit):
    rows = read(file, Trajectory)
    rows[number - 1] = edit(rows[number - 1])
    write(file, rows)


def test_the_same_policy_says_the_same_to_the_last_token(folder, tiny_folder, capsys):
    file = folder / "policy.jsonl"
    status, lines, assumed = replayed(capsys, f"{file} --model {tiny_folder}")
    assert status == 0 and len(lines) == 5
    assert all(
        re.fullmatch(r"\d '.*' attempt \d: equal \(1 turns, \d+ tokens, 2 frames\)", one) for one in lines[:4]
    )
    assert lines[4] == "4 of 4 trajectories are made again as they were recorded"
    assert f"by {folder}/policy.settings.json: temperature 1, limits turns 2, turn_tokens 12" in assumed


def test_a_token_of_the_record_that_was_changed_is_named(folder, tiny_folder, capsys):
    def edit(one):
        ids = list(one.turns[0].token_ids)
        ids[2] += 1
        return replace(one, turns=[replace(one.turns[0], token_ids=ids), *one.turns[1:]])

    was = read(folder / "policy.jsonl", Trajectory)[1].turns[0].token_ids[2]
    change(folder / "policy.jsonl", 2, edit)
    words = f"{folder}/policy.jsonl --model {tiny_folder} --which [2]"
    status, lines, _ = replayed(capsys, words)
    assert status == 1 and len(lines) == 2
    assert re.search(rf": turn 1, token 3: was {was + 1} .*, log-prob .*, now {was} .*, log-prob", lines[0])
    assert lines[1] == "0 of 1 trajectories are made again as they were recorded"


def test_another_checkpoint_says_something_else(folder, tmp_path, capsys):
    other = build_tiny(tmp_path / "other", seed=1, corpus=agent_text())
    words = f"{folder}/policy.jsonl --model {other} --limit 1"
    status, lines, _ = replayed(capsys, words)
    assert status == 1 and re.search(r": turn 1, token \d+: was \d+ .*, now \d+ ", lines[0])


def test_other_pixels_under_the_same_name_are_seen(folder, tiny_folder, capsys):
    (clip,) = (folder / "clips").iterdir()
    render(write_script(99, settings()), clip)
    words = f"{folder}/policy.jsonl --model {tiny_folder} --which [1]"
    status, lines, _ = replayed(capsys, words)
    assert status == 1 and re.search(r": turn 1, token \d+: was ", lines[0])
    assert lines[-1] == f"{clip} was changed after {folder}/policy.jsonl was"


def test_a_longer_video_is_told_from_the_opening(folder, tiny_folder, capsys):
    (clip,) = (folder / "clips").iterdir()
    render(write_script(0, settings(60)), clip)
    words = f"{folder}/policy.jsonl --model {tiny_folder} --which [1]"
    status, lines, _ = replayed(capsys, words)
    assert status == 1 and re.search(r": opening, frame \d: was .* at .* s, 112x112, now .* at ", lines[0])


def test_without_a_model_what_the_tools_answered_is_made_again(folder, capsys):
    status, lines, _ = replayed(capsys, f"{folder}/oracle.jsonl --tools_only")
    assert status == 0 and lines[-1].startswith("2 of 2 trajectories")

    def edit(one):
        seen = one.turns[0].observation
        first = next(part for part in seen.parts if isinstance(part, FrameRef))
        parts = [replace(part, time=part.time + 0.5) if part is first else part for part in seen.parts]
        turn = replace(one.turns[0], observation=replace(seen, parts=tuple(parts)))
        return replace(one, turns=[turn, *one.turns[1:]])

    change(folder / "oracle.jsonl", 2, edit)
    status, lines, _ = replayed(capsys, f"{folder}/oracle.jsonl --tools_only")
    assert status == 1 and ": equal (2 turns, the words, " in lines[0]
    assert re.search(r": turn 1, observation, frame 1: was .* at \S+ s, .*, now .* at \S+ s, ", lines[1])


def test_a_video_that_is_gone_is_a_divergence_and_not_a_crash(folder, capsys):
    (clip,) = (folder / "clips").iterdir()
    clip.unlink()
    status, lines, _ = replayed(capsys, f"{folder}/oracle.jsonl --tools_only")
    assert status == 1 and ": opening: was made, now a fault: " in lines[0]


def test_what_can_not_be_made_again_is_left_out_and_counted(folder, capsys):
    change(folder / "oracle.jsonl", 1, lambda one: replace(one, stop="fault", faults=["the server was dead"]))
    status, lines, _ = replayed(capsys, f"{folder}/oracle.jsonl --tools_only")
    assert status == 0 and lines[-1].endswith("recorded; 1 that a fault ended are left out")
    status, _, said = replayed(capsys, f"{folder}/oracle.jsonl --tools_only --which [nobody]")
    assert status == 1 and "holds no trajectory that can be made again" in said
    status, _, said = replayed(capsys, f"{folder}/oracle.jsonl")
    assert status == 1 and "say who answers: --model FOLDER|HUB_ID to run it here, or --server URL" in said


VITAL = """
agent:
  dialect: VitalDialect
  tools: [ClipFrames, FrameSelect]
  overview: {frames: 8, frame_tokens: 4}
  limits: {turns: 2, turn_tokens: 12}
"""


@pytest.fixture
def vital(folder):
    """A config of an agent with an overview and two tools, in VITAL's spelling."""
    (folder / "vital.yaml").write_text(VITAL)
    return folder / "vital.yaml"


def test_a_trajectory_with_an_overview_is_written_again_byte_for_byte(folder, vital, tiny_folder, capsys):
    words = f"collect --config {vital} --tasks {folder} --concurrency 1 --model {tiny_folder} --attempts 2"
    for name in ("once", "again"):
        assert main([*words.split(), "--out", str(folder / f"{name}.jsonl")]) == 0
    once, again = ((folder / f"{name}.jsonl").read_bytes() for name in ("once", "again"))
    assert once == again and all(len(one.frames) == 8 for one in read(folder / "once.jsonl", Trajectory))
    status, lines, told = replayed(capsys, f"{folder}/once.jsonl --config {vital} --model {tiny_folder}")
    assert status == 0 and lines[-1].startswith("4 of 4 trajectories") and "(but" not in told
    assert all("8 frames)" in line and "apart" not in line for line in lines[:4])


def test_what_both_tools_answered_after_an_overview_is_made_again(folder, vital, tiny_folder, capsys):
    dialect = VitalDialect()
    turns = [
        "<think>Look.</think>" + dialect.call("get_video_clip_frame", start_time=3, end_time=6),
        dialect.call("frame_select", start_time=3, end_time=9, nframes=2, resize=0.5)
        + dialect.call("get_video_clip_frame", start_time=1, end_time=4),
        "<think>Seen.</think>" + dialect.reply("red"),
    ]
    renderer = Renderer.from_pretrained(tiny_folder)
    agent = Agent(
        engine=ScriptedEngine(
            lambda asked: turns[sum(m.role == "assistant" for m in asked.messages)], renderer
        ),
        dialect=dialect,
        tools=[ClipFrames(), FrameSelect()],
        world=VideoWorld(),
        overview=Overview(frames=8, frame_tokens=4),
        limits=Limits(turns=3),
    )
    made = asyncio.run(rollout(jobs_for(load_tasks(folder)), agent))
    agent.world.close()
    assert [len(one.frames) for one in made] == [8 + 6 + 2] * 2
    write(folder / "scripted.jsonl", [portable(one, folder) for one in made])
    words = (
        f"{folder}/scripted.jsonl --tools_only --config {vital} --agent.limits.turns 3 --model {tiny_folder}"
    )
    status, lines, _ = replayed(capsys, words)
    assert status == 0 and lines[-1].startswith("2 of 2 trajectories")
    status, lines, _ = replayed(capsys, f"{words} --agent.overview.frames 6")
    assert status == 1 and ": opening, frame 2: was " in lines[0]
