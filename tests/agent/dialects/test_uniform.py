"""The baseline that shows frames first and takes what is written as the answer."""

from eva_lightning.agent.dialects.uniform import UniformFrames
from eva_lightning.agent.worlds.base import ClipFacts
from tests.making import task

FACTS = ClipFacts(duration=100.0, height=360, width=640, fps=25.0)


def test_so_many_frames_of_the_whole_clip_come_before_the_question():
    _, user = UniformFrames(frames=5, resize=0.25).opening(task(), [FACTS])
    assert [round(frame.time) for frame in user.frames] == [0, 25, 50, 75, 100]
    assert {(frame.height, frame.width) for frame in user.frames} == {(84, 168)}  # 90 x 160, rounded to 28
    assert user.text.endswith("What colour?\nA. red\nB. blue\nC. green")


def test_above_the_budget_they_are_fewer_and_smaller():
    _, user = UniformFrames(frames=64, tokens=2000).opening(task(), [FACTS])
    assert 0 < sum(frame.visual_tokens for frame in user.frames) <= 2000 and len(user.frames) < 64


def test_whatever_is_written_is_the_answer():
    dialect = UniformFrames()
    said = {"<answer>B</answer>": "B", "Answer: C": "C", " B. blue\n": "B. blue"}
    for text, answer in said.items():
        assert dialect.parse(text).answer == answer
    assert dialect.parse("<tool_call>{}</tool_call>").calls == ()
