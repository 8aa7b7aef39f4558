"""Good and bad attempts: each named failure is found, and what remains is good."""

from dataclasses import replace

import pytest

from eva_lightning.data.selection.density import DensityRules
from eva_lightning.data.selection.feedback import FeedbackRules, mark
from eva_lightning.records import Clip, Observation, Score, Span, Turn
from tests.making import frame, task, trajectory

RULES = FeedbackRules()


def attempt(*looks, answer="B", error=None, size=28, **fields):
    """An attempt with a look at each list of seconds, then an answer; B is right."""
    turns = [
        Turn(
            text="look",
            observation=Observation(
                parts=tuple(frame(time=float(t), height=size, width=size) for t in times), error=error
            ),
        )
        for times in looks
    ]
    fields = {"task": task(extra={"evidence": [[10, 20]]})} | fields
    return trajectory(turns=[*turns, Turn(text="answer")], answer=answer, **fields)


def causes(*attempts, rules=RULES):
    return [one.cause for one in mark(attempts, rules)]


@pytest.mark.parametrize(
    ("one", "cause", "reason"),
    [
        (attempt([12, 14]), "good", "good: chose B, gold B; 2 frames, 2 visual tokens"),
        (attempt([12], answer="C"), "wrong", "wrong: chose C, gold B"),
        (attempt(), "blind", "blind: answered without a look"),
        (attempt([30, 40]), "off evidence", "off evidence: saw nothing of 10 to 20 s"),
        (attempt([12], stop="turn_limit", answer=None), "stopped", "stopped: ended by turn_limit"),
        (attempt([12], error="not JSON"), "malformed", "malformed: not JSON"),
        (attempt([0, 15, 90]), "sparse", "sparse: 3 frames of 90 s, and no closer look"),
        (attempt([10 + i / 4 for i in range(9)]), "dense", "dense: 9 frames of 2.0 s"),
        (attempt([10 + i / 1.25 for i in range(11)]), "dense", "dense: 11 frames of 8.0 s"),
        (
            attempt([12, 14], scores={"sufficiency": Score(value=0.0, reason="insufficient: too small")}),
            "insufficient",
            "insufficient: too small",
        ),
    ],
)
def test_every_named_failure_is_found(one, cause, reason):
    (said,) = mark([one], RULES)
    assert said.cause == cause
    assert said.trajectory.desirable is (cause == "good")
    assert said.trajectory.scores["feedback"].value == float(cause == "good")
    assert said.trajectory.scores["feedback"].reason == reason


def test_a_wide_look_followed_by_a_close_one_is_a_plan_and_not_sparse():
    assert causes(attempt([0, 45, 90], [10, 12, 14])) == ["good"]


def test_one_frame_a_second_is_not_dense_whatever_the_frames_own_times():
    assert causes(attempt([10 + i * 0.9999 for i in range(11)])) == [
        "good"
    ]  # of 10 s, the last one cut short
    assert causes(attempt([float(i) for i in range(20)])) == ["good"]


def test_a_look_that_the_audit_of_calls_finds_too_dense_is_too_dense_here():
    """Five frames of two seconds, as frames alone and with the span that the tool wrote."""
    five = [10.0, 10.5, 11.0, 11.5, 12.0]
    (turn, answer) = attempt(five).turns
    span = Span(clip="v", start=10.0, end=12.0)
    told = Turn(text="look", observation=replace(turn.observation, spans=(span,)))
    wide = Turn(text="look", observation=replace(turn.observation, spans=(replace(span, end=20.0),)))
    looks = [attempt(five), *(replace(attempt(), turns=[turn, answer]) for turn in (told, wide))]
    assert causes(*looks) == ["dense", "dense", "good"]
    assert causes(*looks, rules=FeedbackRules(density=DensityRules(few=8))) == ["good"] * 3


def test_more_than_twice_the_median_of_the_good_is_waste():
    usual = [attempt([11, 12]), attempt([11, 13]), attempt([12, 13])]
    assert causes(*usual, attempt([11, 12, 13, 14])) == ["good"] * 4  # twice is not more than twice
    assert causes(*usual, attempt([11, 12, 13, 14, 15])) == ["good"] * 3 + ["wasteful"]
    assert causes(*usual, attempt([11], size=84)) == ["good"] * 3 + ["wasteful"]  # nine tokens where two do
    generous = FeedbackRules(waste=3.0)
    assert causes(*usual, attempt([11, 12, 13, 14, 15]), rules=generous) == ["good"] * 4


def test_waste_is_held_against_its_own_family_and_against_good_attempts_only():
    cheap = [attempt([12], task=task(source="colour_at"))] * 3
    long = attempt([1, 5, 9, 13], task=task(source="count"))
    assert causes(*cheap, long) == ["good"] * 4
    lucky = [attempt()] * 9  # blind guesses do not make looking a waste
    assert causes(*lucky, attempt([12])) == ["blind"] * 9 + ["good"]


def test_a_judge_is_believed_on_what_the_rules_find_nothing_wrong_with():
    def weighed(value, *looks, **fields):
        return attempt(*looks, scores={"sufficiency": Score(value=value)}, **fields)

    assert causes(weighed(1.0, [12]), weighed(1.0, [12], answer="C"), weighed(0.0, [30])) == [
        "good",
        "wrong",
        "off evidence",
    ]
    guesses = [weighed(0.0, [12])] * 3  # they do not make looking a waste, either
    assert causes(*guesses, weighed(1.0, [12, 13, 14, 15])) == ["insufficient"] * 3 + ["good"]


def test_without_known_evidence_any_look_will_do():
    assert causes(attempt([70], task=task())) == ["good"]


def test_who_only_listens_is_held_against_the_seconds_that_were_heard():
    def heard(start, end, clip="v"):
        spans = (Span(clip=clip, start=start, end=end),)
        turn = Turn(text="listen", observation=Observation(parts=("a beep",), spans=spans))
        return replace(attempt(), turns=[turn, Turn(text="answer")])

    assert causes(heard(15, 18), heard(30, 40)) == ["good", "off evidence"]
    assert causes(heard(15, 18, clip="w")) == ["off evidence"]


def test_where_nobody_knows_what_a_call_looked_at_it_is_not_held_against_it():
    """Chat data of others: words came back, and no tool of ours wrote a span."""
    turn = Turn(text="look", observation=Observation(parts=("a cup",)))
    assert causes(replace(attempt(), turns=[turn, Turn(text="answer")])) == ["good"]


def test_a_frame_of_another_clip_proves_nothing():
    two = task(
        clips=(Clip(id="v", path="v.mp4"), Clip(id="w", path="w.mp4")), extra={"evidence": [["w", 10, 20]]}
    )
    assert causes(attempt([12], task=two)) == ["off evidence"]
    with pytest.raises(ValueError, match=r"want evidence as \[clip id, start, end\]"):
        _ = replace(two, extra={"evidence": [[10, 20]]}).evidence


def test_faults_and_tasks_without_an_answer_are_not_judged():
    ungraded = attempt([12], task=replace(task(), answer=None))
    assert causes(attempt([12], stop="fault"), ungraded, attempt([12])) == ["good"]


def test_ambiguous_attempts_are_left_out_if_wanted():
    two = task(extra={"evidence": [[10, 20], [40, 50]]})
    nearly = attempt([12], task=task(kind="interval", value=(10.0, 20.0)), answer="10 to 14")  # IoU 0.4
    mixed = [attempt([12], task=two), nearly, attempt([12, 45], task=two)]
    assert causes(*mixed) == ["good", "wrong", "good"]
    assert causes(*mixed, rules=FeedbackRules(drop_ambiguous=True)) == ["unclear", "unclear", "good"]


def test_rules_that_mark_everything_are_refused():
    with pytest.raises(ValueError, match="waste 1"):
        FeedbackRules(waste=1)


def test_no_score_is_farther_than_one_half_from_one_half():
    with pytest.raises(ValueError, match="near 0.51: want more than 1, and 0 to 0.5"):
        FeedbackRules(near=0.51)
    assert FeedbackRules(near=0.5).near == 0.5
