"""A point for turns that are a thought and a deed, and half a point for each of two calls that worked."""

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.dialects.vital import VitalDialect
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.faults import UsageError
from eva_lightning.records import Observation, Turn
from eva_lightning.rewards.form import FormReward
from tests.making import StillWorld, frame, trajectory

DIALECT = VitalDialect()
CALL = DIALECT.call("get_video_clip_frame", start_time=1, end_time=3)


def look(worked, calls=1, thought="<think>Look.</think>", **fields):
    text = thought + CALL * calls
    seen = Observation(parts=("seen", frame()), worked=worked, **fields)
    return Turn(text=text, calls=DIALECT.parse(text).calls, observation=seen)


ANSWER = Turn(text="<think>Seen.</think><answer>B</answer>")
BARE = Turn(text="<answer>B</answer>")


def given(*turns, answer="B", reward=None):
    reward = reward or FormReward(dialect=DIALECT)
    return reward.score(trajectory(turns=list(turns), answer=answer))


@pytest.mark.parametrize(
    ("turns", "value"),
    [
        ((ANSWER,), 1.0),
        ((look(1), ANSWER), 1.5),
        ((look(1), look(1), ANSWER), 2.0),
        ((look(1), look(1), look(1), ANSWER), 2.0),
        ((look(3, calls=3), ANSWER), 2.0),
        ((look(0, error="too short"), ANSWER), 1.0),
        ((look(1, thought=""), ANSWER), 0.5),
        ((look(1), BARE), 0.5),
        ((BARE,), 0.0),
    ],
)
def test_form_is_all_or_nothing_and_calls_count_to_two(turns, value):
    assert given(*turns).value == value


def test_of_calls_nobody_counted_frames_prove_one():
    assert given(look(None, calls=2), ANSWER).value == 2.0
    assert given(look(None, calls=2, error="one failed"), ANSWER).value == 1.5


def test_a_trajectory_without_an_answer_has_no_form_but_its_calls():
    score = given(look(1), answer=None)
    assert (score.value, score.reason) == (0.5, "no answer; calls that worked: 1")


def test_what_is_paid_are_settings():
    reward = FormReward(weight=0.1, formed=2.0, call=1.0, most=1, dialect=DIALECT)
    score = given(look(1), look(1), ANSWER, reward=reward)
    assert (score.value, score.weight) == (3.0, 0.1)
    with pytest.raises(UsageError, match="most -1"):
        FormReward(most=-1)


def test_the_flaw_is_named():
    assert given(look(1), BARE).reason.startswith("turn 2: does not begin with a thought")


def test_the_dialect_is_the_agent_s_if_none_is_named():
    reward = FormReward()
    with pytest.raises(UsageError, match="no dialect"):
        given(BARE, reward=reward)
    reward.equip(ScriptedEngine([]), EvaDialect(), StillWorld())
    assert given(BARE, reward=reward).value == 1.0  # EVA asks for no thought
