"""A toolbox of several tools: EVA's and VITAL's side by side, in either spelling."""

import asyncio

import pytest

from eva_lightning.agent import Agent, Limits, Overview, jobs_for, rollout
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.agent.tools.clip_frames import ClipFrames
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.files import store
from eva_lightning.policy.renderer import Renderer
from tests.making import StillWorld, task

DIALECTS = [EvaDialect(explain_tools=True), VitalDialect()]
BOTH = (FrameSelect(), ClipFrames())


def select(dialect, **arguments):
    arguments = {"start_time": 0, "end_time": 10, "nframes": 2, "resize": 0.2} | arguments
    return dialect.call("frame_select", **arguments)


def clip(dialect, start=20, end=22):
    return dialect.call("get_video_clip_frame", start_time=start, end_time=end)


def act(dialect, *turns, tools=BOTH, renderer=None, **limits):
    script = ScriptedEngine(
        lambda context: turns[sum(one.role == "assistant" for one in context.messages)], renderer
    )
    agent = Agent(
        engine=script,
        dialect=dialect,
        tools=tools,
        world=StillWorld(duration=100.0),
        overview=Overview(frames=4, frame_tokens=4),
        limits=Limits(**limits),
    )
    (made,) = asyncio.run(rollout(jobs_for([task()]), agent))
    return made


@pytest.fixture(params=DIALECTS, ids=lambda one: type(one).__name__)
def dialect(request):
    return request.param


def test_the_opening_has_the_manual_of_each_tool_in_the_agent_s_spelling(dialect):
    system = act(dialect, dialect.reply("B")).prompt[0].text
    for tool in BOTH:
        assert dialect.call(tool.name, **tool.example(("v",))) in system and tool.manual(("v",)) in system


def test_both_tools_look_in_one_trajectory_and_in_one_turn(dialect):
    made = act(dialect, select(dialect), select(dialect) + clip(dialect), dialect.reply("B"))
    assert (made.stop, made.answer, made.rounds) == ("answered", "B", 3)
    assert [len(turn.observation.frames) for turn in made.turns[:2]] == [2, 2 + 4]
    assert [turn.observation.worked for turn in made.turns[:2]] == [1, 2]
    assert [str(span) for span in made.turns[1].observation.spans] == ["0 to 10 s", "20 to 22 s"]
    assert len(made.frames) == 4 + 2 + 6  # the overview, too


def test_a_tool_that_is_none_is_answered_with_those_there_are(dialect):
    made = act(dialect, dialect.call("zoom", x=1), dialect.reply("B"))
    told = "there is no tool 'zoom'; the tools are frame_select, get_video_clip_frame"
    assert made.turns[0].observation.error == told and told in made.messages[-2].text


def test_calls_over_what_a_tool_allows_are_told_so_and_the_other_tool_still_looks(dialect):
    made = act(dialect, clip(dialect) * 2, clip(dialect) + select(dialect), dialect.reply("B"))
    told = "get_video_clip_frame can be called once; answer with what was seen"
    assert [turn.observation.error for turn in made.turns[:2]] == [told, told]
    assert [turn.observation.worked for turn in made.turns[:2]] == [1, 1]
    assert [len(turn.observation.frames) for turn in made.turns[:2]] == [4, 2]


def test_a_call_that_failed_does_not_use_up_the_one_that_is_allowed(dialect):
    made = act(dialect, clip(dialect, 30, 20), clip(dialect), dialect.reply("B"))
    assert "must be before" in made.turns[0].observation.error and made.turns[1].observation.error is None


def test_without_tools_a_call_is_told_that_there_are_none_and_a_thought_is_no_answer():
    vital = VitalDialect()
    made = act(vital, clip(vital), "<think>B, I think.</think>", tools=[])
    assert (made.stop, made.answer) == ("no_action", None)
    assert made.turns[0].observation.error == "there is no tool 'get_video_clip_frame'; there are none"
    assert act(EvaDialect(), "B, I think.", tools=[]).answer == "B, I think."


@pytest.mark.parametrize(("calls", "worked"), [(2, [1, 1, 0]), (None, [1, 1, 1])])
def test_how_many_calls_are_allowed_is_a_setting_of_the_tool(dialect, calls, worked):
    turns = [clip(dialect)] * 3
    made = act(dialect, *turns, dialect.reply("B"), tools=[FrameSelect(), ClipFrames(calls=calls)])
    assert [turn.observation.worked for turn in made.turns[:3]] == worked


def test_the_same_script_gives_the_same_bytes_overview_and_all(dialect, tiny_folder):
    renderer = Renderer.from_pretrained(tiny_folder)
    turns = (select(dialect), clip(dialect) + clip(dialect), dialect.reply("B"))
    once, again = (store.line(act(dialect, *turns, renderer=renderer)) for _ in range(2))
    assert once == again
