"""Effects are differences of sums over the questions that both sides were asked, with honest intervals."""

import pytest

from eva_lightning.records import Answer, Clip, Task, Trajectory, Turn
from eva_lightning.reports.effects import Sums, effect, level, summed


def one(right, attempts=4, *, proven=None, met=None, frames=40, tokens=80, rounds=12, value=None):
    return Sums(
        attempts=attempts,
        right=right,
        value=right if value is None else value,
        proven=right if proven is None else proven,
        met=right if met is None else met,
        frames=frames,
        visual_tokens=tokens,
        rounds=rounds,
    )


HALF = {f"q{i}": one(2) for i in range(50)}
MOST = {f"q{i}": one(3, tokens=40) for i in range(50)}


def test_the_measures_are_ratios_of_sums():
    mixed = {"a": one(4, proven=1, met=2.0), "b": one(0), "c": one(1, proven=1)}
    assert level("accuracy", [mixed]) == pytest.approx(5 / 12)
    assert level("unproven", [mixed]) == pytest.approx(3 / 5)  # of five right answers two are proven
    assert level("recall", [mixed]) == pytest.approx(3 / 5)
    assert level("frames", [mixed]) == 10 and level("rounds", [mixed]) == 3
    assert level("per_token", [mixed]) == pytest.approx(100 * 5 / 240)
    assert level("unproven", [{"a": one(0)}]) == 0
    assert level("accuracy", [HALF, MOST]) == pytest.approx((0.5 + 0.75) / 2)


def test_an_effect_that_every_question_shows_has_no_width():
    found = effect("accuracy", [MOST, MOST], [HALF, HALF])
    assert (found.mean, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert effect("visual_tokens", [MOST], [HALF], ratio=True).high == 0.5


def test_seeds_that_disagree_widen_it():
    found = effect("accuracy", [MOST, HALF], [HALF, HALF])
    assert found.mean == pytest.approx(0.125)
    assert (found.low, found.high) == pytest.approx(
        (0.0, 0.25)
    )  # both seeds drawn alike in half of the draws


def test_questions_that_disagree_widen_it():
    mixed = {f"q{i}": one(4 if i % 2 else 0) for i in range(50)}
    found = effect("accuracy", [mixed], [HALF])
    assert found.mean == 0 and -0.2 < found.low < -0.08 and 0.08 < found.high < 0.2


def test_only_questions_of_both_sides_count():
    more = {**HALF, "q99": one(4)}
    assert effect("accuracy", [more], [HALF]).mean == 0
    with pytest.raises(ValueError, match="no question that both were asked"):
        effect("accuracy", [{"q99": one(4)}], [HALF])


def test_sums_are_read_off_trajectories_and_faults_are_left_out():
    clip = Clip(id="c", path="c.mp4")
    task = Task(
        id="t",
        source="s",
        clips=(clip,),
        question="Which?",
        answer=Answer(kind="text", value="red"),
        extra={"evidence": [[1, 2]]},
    )

    def said(answer, stop="answered"):
        return Trajectory(task=task, prompt=(), turns=[Turn(text=answer)], stop=stop, answer=answer)

    found = summed([said("red"), said("red"), said("blue"), said("red", "fault")], lambda _: False)
    assert found == {
        "t": Sums(
            attempts=3, right=2, value=found["t"].value, proven=0, met=0, frames=0, visual_tokens=0, rounds=3
        )
    }
