"""The seven habits of EVA's released evaluator, each driven by scripted replies over a real clip.

The clip has 150 frames at 25 a second, and every frame carries its number.
"""

import asyncio
import json
import time

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.dialects.eva_official import OfficialEvaDialect
from eva_lightning.agent.rollout import Agent, Job, Limits, rollout
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.agent.tools.frame_select_official import OfficialFrameSelect
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.records import Clip, Turn
from eva_lightning.reports.benchmarks.result import result_of
from eva_lightning.video.frame_store import FrameStore
from tests.making import task, trajectory
from tests.video import footage


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return Clip(id="v", path=str(footage.write(tmp_path_factory.mktemp("clip") / "clip.mp4").path))


@pytest.fixture(scope="module")
def world():
    with FrameStore(coarse="never") as store:
        yield VideoWorld(store)


@pytest.fixture
def official(clip, world):
    """A rollout under official habits, of an agent that says these replies."""
    tools, limits = [OfficialFrameSelect()], Limits(last_call=True)
    return lambda *replies: attempt(replies, clip, world, OfficialEvaDialect(), tools, limits)


@pytest.fixture
def ours(clip, world):
    """The same by default."""
    return lambda *replies: attempt(replies, clip, world, EvaDialect(), [FrameSelect()], Limits())


def attempt(replies, clip, world, dialect, tools, limits):
    def author(context):
        return replies[sum(message.role == "assistant" for message in context.messages)]

    agent = Agent(engine=ScriptedEngine(author), dialect=dialect, tools=tools, world=world, limits=limits)
    (one,) = asyncio.run(rollout([Job(task=task(clips=(clip,)))], agent))
    one.shown = [footage.number_in(world.pixels(clip, frame)) for frame in one.frames]
    return one


def call(start=1.0, end=2.0, nframes=2, **more):
    asked = {"start_time": start, "end_time": end, "nframes": nframes, "resize": 1.0} | more
    return f'<tool_call>{{"tool": "frame_select", "arguments": {json.dumps(asked)}}}</tool_call>'


def labels(one):
    text = "".join(part for part in one.turns[0].observation.parts if isinstance(part, str))
    return [line.rsplit("[")[1][:5] for line in text.splitlines() if "Frame " in line]


ANSWER = "<answer>B</answer>"


def test_a_range_without_length_shows_the_whole_video(official, ours):
    assert official(call(2.0, 2.0, 1), ANSWER).shown == [75]  # its middle, at 3 s
    three = official(call(2.0, 2.0, 3), ANSWER)
    assert three.shown == [0, 75, 149] and labels(three) == ["00:02"] * 3
    assert ours(call(2.0, 2.0, 3), ANSWER).shown == [50]


def test_a_reversed_range_shows_the_whole_video_and_counts_its_labels_backwards(official, ours):
    one = official(call(5.0, 1.0, 3), ANSWER)
    assert one.shown == [0, 75, 149] and labels(one) == ["00:05", "00:03", "00:01"]
    assert ours(call(5.0, 1.0, 3), ANSWER).turns[0].observation.error == "end_time 1 is before start_time 5"


def test_a_time_means_the_nearest_frame(official, ours):
    # the middle is 1.03 s: frame 25 is on show, and frame 26 begins at 1.04 s
    assert official(call(1.0, 1.06, 1), ANSWER).shown == [26]
    assert ours(call(1.0, 1.06, 1), ANSWER).shown == [25]


STOPS = {
    "nframes 0": call(nframes=0),
    "nframes 2.0": call(nframes=2.0),
    "nframes null": call(nframes=None),
    "no nframes": call().replace('"nframes": 2, ', ""),
    "no end": call().replace('"end_time": 2.0, ', ""),
    "a clock": call("00:01", "00:02"),
    "no JSON": call().replace("1.0", "one"),
    "another tool": call().replace("frame_select", "zoom"),
    "an empty call": "<tool_call></tool_call>",
    "an unclosed call": call().removesuffix("</tool_call>"),
    "the name key": call().replace('"tool"', '"name"'),
    "arguments first": '<tool_call>{"arguments": {"start_time": 1}, "tool": "frame_select"}</tool_call>',
    "resize 0": call(resize=0),
    "resize in quotes": call(resize="0.5"),
    "a time without end": call().replace("2.0", "1e999"),
    "a time that is true": call(True),
    "a range beyond numbers": call(-1.7e308, 1.7e308),
    "a count beyond numbers": call(nframes=10**400),
}


@pytest.mark.parametrize("said", STOPS.values(), ids=STOPS)
def test_a_call_that_the_script_can_not_run_is_the_end(said, official, ours):
    one = official(said, ANSWER)
    assert (one.stop, one.answer, one.rounds, one.shown) == ("no_action", None, 1, [])
    unclosed = not said.endswith("</tool_call>")
    assert result_of(one).stop_reason == ("no_answer_no_tool_call" if unclosed else "no_valid_tool_call")
    assert ours(said, ANSWER).stop == "answered"


def test_calls_that_are_never_closed_are_told_in_no_time():
    one = trajectory(turns=[Turn(text="<tool_call>" * 24_000)], stop="no_action", answer=None)
    began = time.process_time()
    assert result_of(one).stop_reason == "no_answer_no_tool_call"
    assert time.process_time() - began < 1.0


def test_a_call_that_it_can_run_is_run_beside_one_that_it_can_not_and_no_word_is_said(official):
    inside = call(nframes=0).removesuffix("</tool_call>") + call().removeprefix("<tool_call>")
    one = official(inside, ANSWER)
    assert one.shown == [25, 50] and one.turns[0].observation.error is None


@pytest.mark.parametrize("nframes", [3, "3", " 3 "])
def test_a_count_may_stand_in_quotes_and_resize_may_be_null(nframes, official):
    assert official(call(nframes=nframes, resize=None), ANSWER).shown == [25, 37, 50]


def test_parameters_is_another_word_for_arguments(official):
    assert official(call().replace("arguments", "parameters"), ANSWER).shown == [25, 50]


def test_only_the_first_call_block_is_read(official, ours):
    both = call(1.0, 2.0) + call(3.0, 4.0)
    assert official(both, ANSWER).shown == [25, 50]
    assert ours(both, ANSWER).shown == [25, 49, 75, 99]


def test_all_calls_in_the_first_block_are_run(official):
    both = (call(1.0, 2.0) + call(3.0, 4.0)).replace("</tool_call><tool_call>", "\n")
    assert official(both, ANSWER).shown == [25, 50, 75, 100]


def test_a_bare_answer_beside_a_call_is_the_answer(official, ours):
    short = '<tool_call>{"tool": "frame_select", "arguments": {"start_time": 1}}</tool_call>'
    for said in (f"Answer: B\n{short}", f"{call()}\nAnswer: B"):
        one = official(said, "<answer>C</answer>")
        assert (one.stop, one.answer, one.rounds) == ("answered", "B", 1)
        assert ours(said, "<answer>C</answer>").answer == "C"


def test_a_sixth_call_is_run_and_nobody_reads_what_it_finds(official, ours):
    six = [call(float(second), second + 0.5, 1) for second in range(6)]
    one = official(*six)
    assert (one.stop, one.rounds, one.shown) == ("turn_limit", 6, [6, 31, 56, 81, 106, 131])
    assert result_of(one).frames == 6
    last = one.turns[-1].observation.frames[0]
    assert result_of(one).total_tokens == one.ledger.total - last.visual_tokens
    assert (ours(*six).stop, len(ours(*six).shown)) == ("turn_limit", 5)
