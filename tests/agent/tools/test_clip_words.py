"""A caption or an answer instead of frames: another engine looks, its words come back and are counted."""

import asyncio

import pytest

from eva_lightning.agent import Agent, jobs_for, rollout
from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.agent.tools.clip_words import ClipAnswer, ClipCaption
from eva_lightning.engines.base import Engine
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.faults import EngineFault, ToolError, UsageError
from eva_lightning.records import Clip, ToolCall
from tests.making import StillWorld, task

ONE = (Clip(id="v", path="v.mp4"),)


def told(tool, room=1000, clips=ONE, **arguments):
    arguments = {"start_time": 10, "end_time": 12} | arguments
    call = ToolCall(name=tool.name, arguments=arguments, text="")
    return asyncio.run(tool.run(call, clips, StillWorld(duration=100.0), room))


def test_a_caption_is_words_for_frames_that_were_read_elsewhere():
    asked = []

    def describe(context):
        asked.append(context)
        return " A dog runs. "

    found = told(ClipCaption(ScriptedEngine(describe)))
    assert (found.text, found.glimpses, found.tokens) == ("A dog runs.", (), 0)
    assert found.elsewhere == 4 * 60 and [str(span) for span in found.spans] == ["10 to 12 s"]
    ((message,),) = [context.messages for context in asked]
    assert [frame.time for frame in message.frames] == [10.0, 10.5, 11.0, 11.5]
    assert message.text.startswith("Frame 0 at 10.0 seconds: \nFrame 1 at 10.5 seconds: ")
    assert message.text.endswith("Say in a few sentences what happens, and when.")
    assert asked[0].pixels(message.frames[0]).shape == (168, 280, 3)


def test_a_question_is_put_to_the_frames_in_the_agent_s_own_words():
    tool = ClipAnswer(ScriptedEngine(lambda context: context.messages[0].text.rpartition("\n")[2]))
    assert told(tool, question=" Which dog? ").text == "Which dog?"
    assert len(told(tool, question="x" * 60_000).text) == 2000


@pytest.mark.parametrize("question", [None, " ", 3, ["?"]])
def test_without_a_question_the_agent_is_told_so(question):
    with pytest.raises(ToolError, match="it must say what you want to know"):
        told(ClipAnswer(ScriptedEngine(["yes"])), question=question)


def test_ranges_are_refused_as_where_frames_come_back():
    with pytest.raises(ToolError, match="the video is 100.00 seconds long"):
        told(ClipCaption(ScriptedEngine(["yes"])), end_time=101)


def test_a_reply_may_take_the_room_that_is_left():
    long = []

    class Counting(ScriptedEngine):
        async def write(self, context, sampling):
            long.append(sampling.max_tokens)
            return await super().write(context, sampling)

    tool = ClipCaption(Counting(lambda context: ""), max_tokens=100)
    assert told(tool, room=30).text == "(no words came back)" and told(tool).text
    assert long == [30, 100]
    with pytest.raises(ToolError, match="no room left for words"):
        told(tool, room=0)


def test_tokens_are_counted_as_read_elsewhere_and_a_dead_engine_is_a_fault():
    dialect = VitalDialect()

    class Dead(Engine):
        async def write(self, context, sampling):
            raise EngineFault("http://localhost:8000 did not answer")

    def acting(engine):
        tool = ClipCaption(engine)
        call = dialect.call(tool.name, **tool.example(("v",)))
        script = ScriptedEngine(
            lambda context: [call, dialect.reply("B")][
                sum(one.role == "assistant" for one in context.messages)
            ]
        )
        agent = Agent(engine=script, dialect=dialect, tools=[tool], world=StillWorld())
        (made,) = asyncio.run(rollout(jobs_for([task()]), agent))
        return made

    made = acting(ScriptedEngine(lambda context: "A dog runs."))
    assert (made.stop, made.elsewhere, made.visual_tokens) == ("answered", 31 * 60, 0)
    assert "from 30.00 to 45.50 seconds.\nA dog runs.\n" in made.turns[0].observation.parts[0]
    made = acting(Dead())
    assert made.stop == "fault" and made.faults == ["http://localhost:8000 did not answer"]


def test_settings_without_sense_are_refused():
    with pytest.raises(UsageError, match="get_video_clip_caption with max_tokens 0"):
        ClipCaption(ScriptedEngine([]), max_tokens=0)
