"""One scorer: the gold answer scores 1 however it is written, and a wrong one does not."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eva_lightning.scoring import renderings, rouge, score
from tests.making import task

LETTERS = "ABCDE"
OPTIONS = ("red", "blue", "light green", "A man", "none of these")

times = st.tuples(st.integers(0, 9000), st.integers(1, 500)).map(lambda t: (t[0] / 2, (t[0] + t[1]) / 2))
answers = st.one_of(
    st.sampled_from(LETTERS).map(lambda x: ("choice", x)),
    st.sets(st.sampled_from(LETTERS), min_size=1).map(lambda x: ("multi", tuple(sorted(x)))),
    st.permutations(LETTERS).map(lambda x: ("order", tuple(x))),
    times.map(lambda x: ("interval", x)),
    st.floats(-1e9, 1e9).map(lambda x: ("number", x)),
    st.integers(0, 100).map(lambda x: ("number", float(x))),
    st.tuples(st.sampled_from(["rounded", "relative", "mra"]), st.floats(-1e9, 1e9) | st.just(0.0)),
    st.tuples(st.sampled_from(["text", "transcript"]), st.text(min_size=1).filter(str.strip)),
    st.lists(times, min_size=1, max_size=4).map(lambda x: ("interval", tuple(x))),
)
grounds = st.lists(times, min_size=1, max_size=3).map(tuple)


@given(answers)
def test_every_rendering_of_every_gold_answer_scores_one(answer):
    one = task(*answer, options=OPTIONS)
    for way in renderings(one):
        assert score(one, way).value == 1.0, way


@given(answers.filter(lambda one: one[0] != "interval"), grounds)
def test_every_rendering_of_every_grounded_answer_scores_one(answer, grounds):
    one = task(*answer, options=OPTIONS, grounds=grounds)
    for way in renderings(one):
        verdict = score(one, way)
        assert (verdict.value, verdict.answer, verdict.overlap.iou) == (1.0, 1.0, 1.0), way
        assert verdict.correct and verdict.grounded


@given(st.sampled_from(LETTERS), st.sampled_from(LETTERS))
def test_no_rendering_of_another_letter_scores(gold, said):
    one, other = task(value=gold, options=OPTIONS), task(value=said, options=OPTIONS)
    assert {score(one, way).value for way in renderings(other)} == {float(gold == said)}


@pytest.mark.parametrize("said", [None, "", "  ", "Z", "I think so", "A man and a dog", "?"])
def test_what_names_no_option_scores_nothing(said):
    assert score(task(value="B", options=OPTIONS), said).value == 0.0


@pytest.mark.parametrize("said", ["00:01:10:05 to 00:02", "9" * 400 + " to 3", "1" + "0" * 400 + ":00-5"])
def test_times_that_are_none_are_a_wrong_answer_and_no_crash(said):
    verdict = score(task("interval", (10.0, 20.0)), said)
    assert verdict.value == 0.0 and len(verdict.reason) <= 80


def test_an_interval_scores_its_overlap_over_its_union():
    one = task("interval", (10.0, 20.0))
    assert score(one, "15 to 25").value == pytest.approx(5 / 15)
    assert score(one, "00:10-00:20").correct
    assert not score(one, "20 to 30").correct
    assert score(one, "at 12").value == 0.0


def test_a_number_must_be_the_only_one():
    one = task("number", 3.0)
    assert score(one, "about three").correct
    assert not score(one, "3 or 4").correct
    assert not score(one, "none").correct


def test_an_order_must_be_exact_and_a_set_complete():
    assert not score(task("order", ("C", "A", "B")), "C, B, A").correct
    assert not score(task("multi", ("A", "C")), "A").correct
    assert not score(task("multi", ("A", "C")), "A, C, C").correct
    assert score(task("multi", ("A", "C")), "c and a").correct


def test_an_order_may_be_written_in_numbers_where_the_options_are_numbered():
    events = "Put in order:\n1. a bell\n2. a dog\n3. a car"
    numbered = task("order", ("B", "A", "C"), options=("a bell", "a dog", "a car"), wording=events)
    for said in (
        "2->1->3",
        "2 -> 1 -> 3",
        "2, 1, 3",
        "213",
        "(2)(1)(3)",
        "B, A, C",
        "Event 2, event 1, event 3.",
    ):
        assert score(numbered, said).correct, said
    for said in ("2->3->1", "2->1", "2->1->3->3", "2->1->4", "A->B->C"):
        assert not score(numbered, said).correct, said
    assert all(score(numbered, way).value == 1.0 for way in renderings(numbered))
    lettered = task("order", ("B", "A", "C"), options=("a bell", "a dog", "a car"))
    assert not score(lettered, "2->1->3").correct


def test_gold_numbers_are_compared_as_numbers():
    one = task("order", ("2", "1", "3"), options=())
    assert all(score(one, way).value == 1.0 for way in renderings(one))
    assert score(one, "2->1->3").correct and not score(one, "1->2->3").correct
    long = task("order", tuple(map(str, range(12, 0, -1))), options=())
    assert all(score(long, way).value == 1.0 for way in renderings(long))


def test_a_set_may_be_written_in_numbers_as_well():
    one = task("multi", ("A", "C"), options=("1. a bell", "2. a dog", "3. a car"))
    assert score(one, "3 and 1").correct and score(one, "A, C").correct and not score(one, "1, 2").correct


def test_rouge_is_the_mean_of_three_f_measures():
    # unigrams 2 of 3 and 2 of 3; bigrams 1 of 2; longest common run 2 of 3
    assert rouge("the red car", "the red bus") == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert rouge("red", "Red.") == 1.0


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("choice", "B"),
        ("multi", ("A", "C")),
        ("order", ("C", "A", "B")),
        ("interval", (10.0, 20.0)),
        ("interval", ((10.0, 20.0), (30.0, 31.0))),
        ("number", 3.0),
        ("rounded", 3.0),
        ("mra", 3.0),
        ("text", "a red car turns left behind the house"),
        ("transcript", "a red car turns left behind the house"),
        ("transcript", "a b " * 16_000),
    ],
)
@pytest.mark.parametrize("grounds", [(), ((10.0, 20.0),)], ids=["alone", "grounded"])
@pytest.mark.parametrize(
    "said",
    [
        "the answer" + " " * 60_000 + "!",
        "the answer :" * 5000,
        "the answer is" + "\n" * 60_000 + "B",
        "option (" * 8000,
        "(" * 64_000,
        "B" + " " * 60_000 + "x",
        "A, " * 20_000,
        "ABCD" * 16_000,
        "1:" * 32_000,
        "1," * 32_000,
        "1,111" * 12_000,
        "9" * 64_000,
        "-1e" * 20_000,
        "one " * 16_000,
        "a " * 32_000,
        "cars " * 12_000,
        "y" * 64_000,
        "yes" + "y" * 1500,
        "\u212a" * 60_000,
        "1 to 2 and " * 5_000,
        "2 to 1, " * 8_000,
        "[1, 2], " * 8_000,
        "from " * 12_000 + "1",
        "1" + " " * 60_000 + "to 2",
        "[" * 32_000 + "1, 2" + "]" * 32_000,
        "1 s " * 16_000,
        "3 - " * 16_000,
    ],
    ids=range(27),
)
def test_an_answer_of_64_kilobytes_is_scored_in_no_time_and_told_in_a_line(kind, value, grounds, said):
    if kind == "interval" and grounds:
        return
    one, began = task(kind, value, options=OPTIONS, grounds=grounds), time.process_time()
    verdict = score(one, said)
    assert time.process_time() - began < 1.0
    assert math.isfinite(verdict.value) and len(verdict.reason) < 300


def test_of_a_long_text_rouge_reads_the_first_two_thousand_characters_and_says_so():
    gold = "red car"
    filled = "red car" + " x" * 996  # 1999 characters, 998 words
    assert score(task("text", gold), filled).reason == "mean ROUGE-1/2/L F 0.00 against 'red car'"
    verdict = score(task("text", gold), filled + " x" * 1000)
    assert verdict.reason.endswith("; of 3999 characters the first 2000 were read")
    # 2 of 998 and 2 of 2 words, 1 of 997 and 1 of 1 pairs, whatever follows
    assert verdict.value == pytest.approx((2 * 4 / 1000 + 2 / 998) / 3, rel=1e-6)
    assert score(task("text", gold * 1000), gold * 1000).value == 1.0


def test_blank_lines_of_a_question_hide_no_number():
    one = task(
        "order", ("B", "A"), options=("a bell", "a dog"), wording="Order:\n\n\n 1. a bell\n\n  2. a dog"
    )
    assert score(one, "2, 1").correct
    began = time.process_time()
    score(task("order", ("B", "A"), options=("a", "b"), wording="?" + "\n" * 20_000), "2, 1")
    assert time.process_time() - began < 1.0


def test_a_verdict_says_what_was_compared():
    assert score(task(value="B"), "C").reason == "chose C, gold B"


def test_a_task_without_a_gold_answer_can_not_be_scored():
    from dataclasses import replace

    with pytest.raises(ValueError, match="no gold answer"):
        score(replace(task(), answer=None), "B")
