"""The rules for a look: each with the smallest call that breaks it and the largest that does not."""

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.data.selection.density import DensityRules
from eva_lightning.data.teaching.audits import Auditor, AuditRules
from eva_lightning.records import Clip, Message
from tests.making import StillWorld, task, trajectory

DIALECT = EvaDialect()
CLIPS = (Clip(id="v", path="v.mp4"),)


def call(start=0, end=10, nframes=2, resize=1.0, **more):
    return DIALECT.call(
        "frame_select", start_time=start, end_time=end, nframes=nframes, resize=resize, **more
    )


def objection(text, *earlier, clips=CLIPS, duration=300.0, **rules):
    auditor = Auditor(AuditRules(**rules), DIALECT, StillWorld(duration=duration).describe)
    return auditor.object_to(text, [Message(role="assistant", parts=(one,)) for one in earlier], clips)


def cause(text, *earlier, **more):
    found = objection(text, *earlier, **more)
    return found and found.cause


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (call(0, 10, 11), None),  # at 0, 1, ... 10
        (call(0, 10, 12), "dense"),
        (call(5, 5, 1), None),
        (call(5, 5, 9), None),  # a moment holds one frame, whatever is asked for
        (call(5, 5.5, 2), "dense"),
        (call(290, 400, 11), None),  # the clip ends at 300
        (call(290, 400, 12), "dense"),
        (call(0, 60, 1), None),
        (call(0, 61, 3), "sparse"),
        (call(0, 61, 4), None),
        (call(0, 61, 4, 0.1), "dim"),  # 4 frames of 28 x 56
        (call(0, 60, 4, 0.1), None),
        (call("00:00", "01:01", 3), "sparse"),
        ("Plan: look.", "malformed"),
        ("<tool_call>{", "malformed"),
        (call(10, 5), "malformed"),
        (call(0, 10, 0), "malformed"),
        (call(400, 500), "malformed"),
        (DIALECT.reply("B"), None),
        (DIALECT.call("zoom", start_time=0), None),  # the agent loop says that there is no such tool
    ],
)
def test_a_call_and_what_a_rule_has_against_it(text, found):
    assert cause(text) == found


@pytest.mark.parametrize(
    ("again", "found"),
    [
        (call(0, 30, 4, 0.5), "again"),
        (call(1, 29, 2, 0.5), "again"),  # nearly the same window, fewer frames
        (call(0, 30, 5, 0.5), None),
        (call(0, 30, 4, 1.0), None),
        (call(2, 30, 4, 0.5), None),
        (call(30, 60, 4, 0.5), None),
    ],
)
def test_a_window_is_asked_again_only_to_see_more(again, found):
    assert cause(again, call(0, 30, 4, 0.5)) == found


def test_the_same_window_of_another_clip_is_another_window():
    clips = (*CLIPS, Clip(id="w", path="w.mp4"))
    assert cause(call(video="w"), call(video="v"), clips=clips) is None
    assert cause(call(video="w"), call(video="w"), clips=clips) == "again"


def test_two_equal_calls_in_one_message_are_one_too_many():
    assert cause(call() + call()) == "again"


def test_a_call_that_failed_watched_nothing():
    assert cause(call(0, 10), call(400, 500), call(0, 10, 0)) is None


def test_an_objection_says_what_to_do():
    assert objection(call(0, 4, 9)).reason == (
        "9 frames of 0 to 4 seconds are more than 1 a second; take 5 or fewer, or a longer window"
    )
    assert cause(call(0, 4, 9), density=DensityRules(frames_per_second=2.0)) is None


def test_a_finished_trajectory_is_held_against_the_same_rules():
    auditor = Auditor(AuditRules(), DIALECT, StillWorld(duration=300.0).describe)

    def made(*texts):
        one = trajectory(task=task(), turns=[trajectory().turns[0] for _ in texts] + trajectory().turns[1:])
        for turn, text in zip(one.turns, texts, strict=False):
            turn.calls = DIALECT.parse(text).calls
        return auditor.flaws(one)

    assert made(call(0, 30, 4), call(30, 60, 4)) == []
    assert [one.cause for one in made(call(0, 4, 9), call(0, 30, 4), call(0, 30, 4))] == ["dense", "again"]


def test_rules_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="frames_per_second 0"):
        DensityRules(frames_per_second=0)
