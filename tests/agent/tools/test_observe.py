"""Observe and listen: several clips in one call, within limits, and every mistake told in words."""

import asyncio

import pytest

from eva_lightning.agent import Agent, jobs_for, rollout
from eva_lightning.agent.config import AgentConfig
from eva_lightning.agent.dialects.react import ReActDialect
from eva_lightning.agent.tools.listen import Listen
from eva_lightning.agent.tools.observe import Observe
from eva_lightning.agent.worlds.script import ClipScript, ScriptEvent
from eva_lightning.agent.worlds.script_world import ScriptWorld
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.faults import ToolError, UsageError
from eva_lightning.records import Clip, ToolCall
from tests.making import StillWorld, task

CLIPS = (Clip(id="pan"), Clip(id="pot"))
WORLD = ScriptWorld.of(
    [
        ClipScript(
            clip=name,
            duration=40,
            events=(
                ScriptEvent(start=0, end=20, see=f"the {name} is washed", hear=f"wash the {name}"),
                ScriptEvent(start=20, end=40, see=f"the {name} is dried"),
            ),
        )
        for name in ("pan", "pot")
    ],
    size=(56, 84),
)


def run(tool, clips=CLIPS, room=1000, **arguments):
    call = ToolCall(name=tool.name, arguments=arguments, text="")
    return asyncio.run(tool.run(call, clips, WORLD, room))


def target(clip="pan", start=0, end=40, frames=4):
    return {"clip": clip, "start": start, "end": end, "frames": frames}


def test_one_call_sees_stretches_of_several_clips_at_the_middles_of_their_parts():
    found = run(Observe(), targets=[target(), target(2, 16, 24, 2)], focus="What is done?")
    assert found.text.split("\n") == [
        "pan, 5.0 to 15.0 s: the pan is washed",
        "pan, 25.0 to 35.0 s: the pan is dried",
        "pot, 18.0 s: the pot is washed",
        "pot, 22.0 s: the pot is dried",
    ]
    assert [(span.clip, str(span)) for span in found.spans] == [("pan", "0 to 40 s"), ("pot", "16 to 24 s")]
    assert (found.elsewhere, found.tokens, found.frames_cut) == (6 * 6, 0, 0)


def test_what_is_left_out_is_all_of_the_clip_and_the_usual_number():
    found = run(Observe(frames=2), targets=[{"clip": "pot"}], focus="?")
    assert found.text == "pot, 10.0 s: the pot is washed\npot, 30.0 s: the pot is dried"


def test_a_call_over_its_frames_takes_them_from_those_that_ask_for_most():
    asked = [target(frames=4), target("pot", frames=100)]
    found = run(Observe(call_frames=12), targets=asked, focus="?")
    assert found.frames_cut == 104 - 12 and found.elsewhere == 12 * 6
    assert "pot, 2.5 to 17.5 s" in found.text  # eight of them, five seconds apart


def test_ranges_are_clamped_to_the_clip_and_a_moment_is_one_frame():
    found = run(
        Observe(), targets=[target(start=-5, end=5), target("pot", 39, 99), target("pan", 7, 7)], focus="?"
    )
    assert [str(span) for span in found.spans] == ["0 to 5 s", "39 to 40 s", "7 to 7 s"]
    assert found.elsewhere == (4 + 4 + 1) * 6


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"focus": " "}, "focus is ' '; it must say"),
        ({"targets": {}}, "it must be a list of stretches"),
        ({"targets": []}, "it must be a list of stretches"),
        ({"targets": [target()] * 9}, "9 targets in one call; at most 8"),
        ({"targets": [target(), "pot"]}, "target 2: 'pot' is no object"),
        ({"targets": [target("cup")]}, "target 1: clip is 'cup'; it must be one of pan, pot"),
        ({"targets": [target(True)]}, "clip is True"),
        ({"targets": [target(frames=0)]}, "frames is 0; it must be a whole number"),
        ({"targets": [target(start=9, end=3)]}, "end 3 is before start 9"),
        ({"targets": [target(start=40, end=50)]}, "lies outside the clip, which is 40.0 seconds long"),
        ({"targets": [target(start="soon")]}, "'soon' is not a time"),
        ({"targets": [{"clip": "pan", "from": 3}]}, "'from' is none of clip, start, end and frames"),
    ],
)
def test_mistakes_are_told(wrong, told):
    with pytest.raises(ToolError, match=told):
        run(Observe(), **({"targets": [target()], "focus": "?"} | wrong))


def test_words_are_no_longer_than_there_is_room_for():
    asked = {"targets": [target(frames=32)], "focus": "?"}
    assert len(run(Observe(characters=40), **asked).text) == 40
    assert len(run(Observe(), room=5, **asked).text) == 20
    for tool, arguments in ((Observe(), asked), (Listen(), {"clip": "pan"})):
        with pytest.raises(ToolError, match="no room left for words"):
            run(tool, room=0, **arguments)


def test_what_is_said_comes_back_with_its_seconds_and_silence_is_an_answer():
    found = run(Listen(), clip="pot", start=10, end=30)
    assert found.text == "0.0 to 20.0 s: wash the pot"
    assert [(span.clip, str(span)) for span in found.spans] == [("pot", "10 to 30 s")]
    assert run(Listen(), clip="pot", start=21).text == "nothing is said"
    assert run(Listen(), clips=CLIPS[:1]).text == "0.0 to 20.0 s: wash the pan"
    with pytest.raises(ToolError, match="longer than 30 seconds; listen to a part"):
        run(Listen(seconds=30), clip="pot")


def test_what_was_observed_counts_as_perceived_and_what_it_cost_is_in_the_record():
    dialect = ReActDialect()
    said = [
        dialect.call("observe", targets=[target(start=0, end=20), target("pot", 30, 40)], focus="?"),
        dialect.call("observe", targets=[target("cup")], focus="?"),
        dialect.call("listen", clip="pan", start=0, end=5),
        dialect.reply("A"),
    ]
    engine = ScriptedEngine(lambda context: said[sum(one.role == "assistant" for one in context.messages)])
    agent = Agent(engine=engine, dialect=dialect, tools=[Observe(), Listen()], world=WORLD)
    evidence = {"evidence": [["pan", 5, 8], ["pot", 0, 10]]}
    (made,) = asyncio.run(rollout(jobs_for([task(clips=CLIPS, value="A", extra=evidence)]), agent))
    assert (made.stop, made.answer, made.elsewhere, made.visual_tokens) == ("answered", "A", 8 * 6, 0)
    assert [str(span) for span in made.perceived] == ["0 to 20 s", "30 to 40 s", "0 to 5 s"]
    assert [span.clip for span in made.evidence_met] == ["pan"]
    assert made.messages[5].text.startswith("Error: target 1: clip is 'cup'")
    assert made.messages[3].text.startswith("pan from 0.0 to 20.0 s; pot from 30.0 to 40.0 s:\npan, 2.5 to")


def test_a_world_that_tells_nothing_is_refused_before_an_agent_begins():
    with pytest.raises(UsageError, match="the tool listen wants words, and StillWorld has none"):
        AgentConfig(world=StillWorld(), tools=[Listen()]).agent(ScriptedEngine(lambda context: ""))


def test_settings_without_sense_are_refused():
    with pytest.raises(UsageError, match="a frame for every target"):
        Observe(call_frames=7)
    with pytest.raises(UsageError, match="listen with seconds 0"):
        Listen(seconds=0)
