"""The overview: frames before the first turn, with their true times; and an agent that has nothing else."""

import asyncio

import pytest

from eva_lightning.agent import Agent, AgentConfig, Overview, jobs_for, rollout
from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.records import Clip
from tests.making import StillWorld, task
from tests.video.footage import write


def shown(said="<answer>B</answer>", world=None, clips=None, tools=(), **overview):
    agent = Agent(
        engine=ScriptedEngine(lambda context: said),
        dialect=EvaDialect(),
        tools=list(tools),
        world=world or StillWorld(),
        overview=Overview(**overview),
    )
    fields = {} if clips is None else {"clips": clips}
    (one,) = asyncio.run(rollout(jobs_for([task(**fields)]), agent))
    return one


def test_its_frames_are_spread_over_the_clip_and_stand_before_the_question():
    one = shown(frames=5, resize=0.25)
    system, user = one.prompt
    assert [round(frame.time, 2) for frame in one.frames] == [0.0, 25.0, 50.0, 75.0, 100.0]
    assert user.parts[:5] == one.frames and user.parts[5].startswith("Video Length: 99 seconds.")
    assert system.text == "Answer the question about the video whose frames are shown."
    assert [span.start for span in one.perceived] == [frame.time for frame in one.frames]


def test_over_its_tokens_it_shows_fewer_and_smaller_frames():
    one = shown(frames=64, tokens=2000)
    assert 0 < len(one.frames) < 64 and one.visual_tokens <= 2000
    assert shown(frames=4, tokens=1).frames == ()


def test_each_frame_may_have_a_limit_of_its_own_and_then_all_of_them_are_shown():
    one = shown(frames=64, frame_tokens=64)
    assert len(one.frames) == 64 and {frame.visual_tokens for frame in one.frames} == {60}  # 6 x 10 of 64
    assert {frame.visual_tokens for frame in shown(frames=2, resize=0.1, frame_tokens=64).frames} == {2}


def test_the_limit_of_a_frame_counts_the_squares_of_the_model_that_looks():
    """Of 32 pixels 6 x 10 fit into 64; 5 x 9 is what a frame of 60 squares of 28 would come to."""
    world = StillWorld()
    world.square = 32
    shown(world=world, frames=2, frame_tokens=64)
    assert world.looks[0][2:] == (6 * 32, 10 * 32)


def test_of_no_frames_it_is_none_as_eva_begins():
    one = shown(frames=0)
    assert one.frames == () and one.prompt[1].text.startswith("Video Length: 99 seconds.")
    with pytest.raises(ValueError, match="frame_tokens is 0: want 1 or more"):
        Overview(frame_tokens=0)


def test_each_clip_has_its_own():
    one = shown(frames=2, clips=(Clip(id="v", path="v.mp4"), Clip(id="w", path="w.mp4")))
    assert [frame.clip for frame in one.frames] == ["v", "v", "w", "w"]


def test_a_frame_says_the_time_at_which_it_is_on_show_not_the_one_asked_for(tmp_path):
    path = write(tmp_path / "slow.mp4", times=[i / 2 for i in range(20)]).path
    world = VideoWorld()
    one = shown(world=world, clips=(Clip(id="v", path=str(path)),), frames=4)
    assert [frame.time for frame in one.frames] == [0.0, 3.0, 6.5, 9.5]  # asked: 0, 3.33, 6.66, 9.99
    world.close()


@pytest.mark.parametrize(
    ("said", "answer", "stop"),
    [
        ("<answer>C</answer>", "C", "answered"),
        (" Answer: B", "B", "answered"),
        ("A red cup. ", "A red cup.", "answered"),
        ("<tool_call>{}</tool_call>", "<tool_call>{}</tool_call>", "answered"),
        (" \n", None, "no_action"),
    ],
)
def test_without_a_tool_all_that_is_written_is_the_answer(said, answer, stop):
    one = shown(said, frames=1)
    assert (one.answer, one.stop, one.rounds) == (answer, stop, 1)


def test_the_baseline_is_two_words_of_a_config():
    agent = AgentConfig(overview=Overview(frames=4), tools=[]).agent(ScriptedEngine([]))
    assert (agent.tools, agent.overview.frames) == ([], 4)
