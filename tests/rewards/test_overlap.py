"""The stretched overlap, by numbers one can check by head."""

import pytest

from eva_lightning.faults import UsageError
from eva_lightning.rewards.overlap import OverlapReward, Stretch
from eva_lightning.rewards.rouge import RougeReward
from tests.making import task, trajectory

CHAPTERS = {"chapters": Stretch(least=0.0, enough=0.5)}


def said(answer, source="", **asked):
    asked = {"kind": "interval", "value": (10.0, 20.0)} | asked
    return trajectory(task=task(source=source, **asked), answer=answer)


@pytest.mark.parametrize(
    "answer, usual, chapters",
    [
        ("10 to 20", 1.0, 1.0),
        ("10 to 18", 1.0, 1.0),  # IoU 0.8
        ("10 to 15", 0.5, 1.0),  # IoU 0.5
        ("10 to 12", 0.0, 0.4),  # IoU 0.2
        ("20 to 30", 0.0, 0.0),
        ("20 to 10", 0.0, 0.0),
        (None, 0.0, 0.0),
    ],
)
def test_it_grows_between_two_overlaps_that_each_source_may_have_of_its_own(answer, usual, chapters):
    reward = OverlapReward(sources=CHAPTERS)
    assert reward.score(said(answer)).value == pytest.approx(usual)
    assert reward.score(said(answer, "chapters")).value == pytest.approx(chapters)


def test_of_a_grounded_answer_both_halves_count_and_a_setting_takes_the_times_alone():
    one = {"kind": "choice", "value": "B", "grounds": ((10.0, 20.0),)}
    both, times = OverlapReward(), OverlapReward(answer_weight=0.0)
    for answer, ours, theirs in (
        ("10 to 20, B", 2.0, 1.0),
        ("10 to 20, A", 1.0, 1.0),
        ("10 to 15, B", 1.5, 0.5),
        ("B", 1.0, 0.0),
        (None, 0.0, 0.0),
    ):
        assert both.score(said(answer, **one)).value == pytest.approx(ours)
        assert times.score(said(answer, **one)).value == pytest.approx(theirs)


def test_it_says_what_was_compared_and_leaves_other_answers_alone():
    assert OverlapReward().score(said("10 to 15")).reason == "10 to 15 against 10 to 20: IoU 0.50"
    assert OverlapReward().score(trajectory()) is None


def test_bounds_that_are_none_are_refused():
    with pytest.raises(UsageError, match=r"from IoU 0.8 to 0.2: want 0 <= least < enough <= 1"):
        Stretch(least=0.8, enough=0.2)


def test_rouge_of_a_grounded_answer_reads_the_words_alone():
    one = said("10 to 11, a red car", kind="text", value="a red car", grounds=((10.0, 20.0),))
    assert RougeReward().score(one).value == 1.0
