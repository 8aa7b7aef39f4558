"""The bank of experiences: the most similar question of another task about another clip."""

from eva_lightning.data.teaching.bank import TURN_CHARACTERS, ExperienceBank, clips_of, story_of
from eva_lightning.records import Clip
from tests.making import task, trajectory


def asked(id, question, clip=None):
    clips = (Clip(id="v", path=f"{clip or id}.mp4"),)
    return task("text", "blue", id=id, question=question, clips=clips)


def bank(*tasks):
    return ExperienceBank(trajectory(task=one) for one in tasks)


def nearest(kept, question, count=1):
    return [one.task_id for one in kept.nearest(question, count)]


def test_the_rarer_the_shared_word_the_nearer_the_question():
    kept = bank(asked("a", "what colour is the dog"), asked("b", "what does the referee say"))
    assert nearest(kept, asked("new", "is the dog happy")) == ["a"]
    assert nearest(kept, asked("new", "when does the referee whistle"), 2) == ["b", "a"]
    assert nearest(kept, asked("new", "zebra")) == []  # nothing is shared


def test_a_long_question_is_no_nearer_for_its_length():
    kept = bank(asked("long", "dog cat cow horse goat pig hen"), asked("short", "dog cat"))
    assert nearest(kept, asked("new", "dog cat")) == ["short"]


def test_neither_the_own_task_nor_the_own_clip_is_told():
    kept = bank(asked("a", "what colour is the dog"), asked("b", "what colour is the cat", clip="same"))
    assert nearest(kept, asked("a", "what colour is the dog", clip="other"), 2) == ["b"]
    assert nearest(kept, asked("c", "what colour is the cat", clip="./same"), 2) == ["a"]
    assert clips_of(asked("a", "?", clip="x/../same")) == clips_of(asked("b", "?", clip="same"))


def test_several_successes_at_one_task_count_once():
    kept = bank(*[asked("a", "the dog")] * 3, asked("b", "the cat"))
    assert len(kept) == 4 and nearest(kept, asked("new", "the dog"), 3) == ["a", "b"]


def test_a_story_tells_words_and_calls_and_frames_in_a_line():
    told = story_of(trajectory(task=asked("a", "Which ink?"), frames=9))
    assert told.splitlines() == [
        "Question: Which ink?",
        "look",
        "(9 frames were shown, at 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, ... seconds)",
        "<answer>B</answer>",
    ]
    one = trajectory()
    one.turns[0].text = "word " * 500
    assert len(story_of(one).splitlines()[1 + len(one.task.options)]) <= TURN_CHARACTERS
