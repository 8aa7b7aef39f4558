"""The grounding teachers look from the last frame before a scene to the first one past it, and name what they
see there; the sloppy one looks elsewhere. Real clips, the real tool.
"""

import asyncio
from dataclasses import replace

import pytest

from eva_lightning.agent.rollout import jobs_for, rollout
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.commands.courses.grounder import GROUNDING, grounding_world
from eva_lightning.data.synthesis.grounding import Grounder, SloppyGrounder, all_bounds
from eva_lightning.data.synthesis.picture import PAINT
from eva_lightning.data.synthesis.script import Event, Scene, Script
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.records import FrameRef
from eva_lightning.reports.metrics import trajectory_metrics
from eva_lightning.scoring import score


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Four clips to train on, two held out."""
    files, clips = grounding_world(tmp_path_factory.mktemp("grounding"), seed=0, share=0.05)
    assert (clips, len(files.scripts)) == (4, 6)
    return files


def played(world, teacher, **changes):
    """A trajectory of this teacher for each task."""
    agent = replace(GROUNDING, **changes).agent(ScriptedEngine(teacher))
    try:
        return asyncio.run(rollout(jobs_for(world.tasks, seed=0), agent))
    finally:
        agent.world.close()


def coloured(*scenes):
    """A script of these backgrounds and their lengths."""
    events, start = [], 0
    for colour, length in scenes:
        see = Scene(background=colour, shape="circle", ink="black", mark="rows")
        events.append(Event(start=start, end=start + length, see=see))
        start += length
    events = tuple(events)
    return Script(id="s", seed=0, duration=start, fps=1, height=112, width=112, gop=1, events=events)


def at(*times):
    return [FrameRef(clip="s", time=float(time), height=28, width=28) for time in times]


def test_bounds_are_the_first_frame_that_shows_it_the_first_past_it_and_the_last_before():
    script = coloured(("red", 50), ("blue", 40), ("red", 10), ("cyan", 100))
    found = all_bounds(at(0, 30, 60, 80, 95, 120, 150), script, end=199)
    assert [one.words for one in found] == ["blue from 60 to 95 after 30", "cyan from 120 to 199 after 95"]


def test_a_rendered_clip_shows_the_colour_within_the_evidence_and_another_one_beside_it(world):
    eyes = VideoWorld()
    for task in world.tasks:
        (span,) = task.evidence
        colour = task.extra["look_for"][0]["background"]
        for second, shown in ((span.start + 1, True), (span.end - 2, True), (span.end + 1, False)):
            frame = FrameRef(clip=task.clips[0].id, time=second, height=28, width=28)
            mean = eyes.pixels(task.clips[0], frame)[:6, :6].reshape(-1, 3).mean(0)
            distance = max(abs(float(a) - b) for a, b in zip(mean, PAINT[colour], strict=True))
            assert (distance < 40) == shown, f"{task.id} at {second}"
    eyes.close()


def test_every_question_is_about_a_clip_of_3_to_10_minutes_and_a_scene_that_the_overview_meets(world):
    assert len(world.tasks) >= 6
    for script in world.scripts:
        assert 180 <= script.duration <= 600 and script.shortest >= 70
    for task in world.tasks:
        (span,) = task.evidence
        assert task.answer.value == (span.start, span.end) and task.answer.kind == "interval"


def test_the_oracle_looks_where_it_is_and_finds_what_the_overview_could_not(world):
    seen = played(world, Grounder(world.scripts, world.tasks, GROUNDING.dialect))
    told = played(world, Grounder(world.scripts, world.tasks, GROUNDING.dialect, tool=False), tools=[])
    assert all(score(one.task, one.answer).correct for one in seen)
    overlap = {name: trajectory_metrics(made)["overlap"] for name, made in (("seen", seen), ("told", told))}
    assert overlap["seen"] >= 0.85 and overlap["seen"] - overlap["told"] >= 0.1
    for one in seen:
        ((evidence,), (looked,)) = one.task.evidence, one.turns[0].observation.spans
        assert looked.start <= evidence.start and looked.end >= evidence.end
        assert [len(turn.calls) for turn in one.turns] == [1, 0]
    assert all(len(one.turns) == 1 and len(one.frames) == 8 for one in told)


@pytest.mark.parametrize(
    ("slip", "turns", "ceiling"),
    [("guess", 1, 0.8), ("wide", 2, 0.85), ("narrow", 2, 0.8), ("elsewhere", 2, 0.2)],
)
def test_each_slip_costs_overlap(world, slip, turns, ceiling):
    teacher = SloppyGrounder(world.scripts, world.tasks, GROUNDING.dialect, 0, rate=1.0, slips=(slip,))
    made = played(world, teacher)
    assert {len(one.turns) for one in made} == {turns} and {one.stop for one in made} == {"answered"}
    assert trajectory_metrics(made)["overlap"] <= ceiling


def test_a_teacher_who_never_slips_is_the_oracle(world):
    oracle = played(world, Grounder(world.scripts, world.tasks, GROUNDING.dialect))
    careful = played(world, SloppyGrounder(world.scripts, world.tasks, GROUNDING.dialect, 0, rate=0.0))
    assert [one.answer for one in careful] == [one.answer for one in oracle]
    with pytest.raises(ValueError, match="a rate of 2"):
        SloppyGrounder(world.scripts, world.tasks, GROUNDING.dialect, 0, rate=2)
