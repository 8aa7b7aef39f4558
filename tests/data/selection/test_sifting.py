"""Neither too easy nor out of reach: eight attempts at a task, and four uniform frames."""

from dataclasses import replace

import pytest

from eva_lightning.data.selection.sifting import SiftRules, SolveRate, histogram, sift, solve_rates
from tests.making import task, trajectory


def rates(**right):
    """Right ones out of eight attempts, by task id."""
    return {id: SolveRate(right=count, attempts=8) for id, count in right.items()}


def causes(attempts, uniform=None, **rules):
    tasks = [task(id=id) for id in attempts]
    return [one.cause for one in sift(tasks, attempts, uniform, SiftRules(**rules))]


def test_all_right_and_all_wrong_teach_nothing():
    found = sift([task(id=id) for id in "abc"], rates(a=0, b=3, c=8))
    assert [(one.cause, one.kept) for one in found] == [
        ("all wrong", False),
        (None, True),
        ("all right", False),
    ]
    assert found[1].task == task(id="b", extra={"solved": [3, 8]})


def test_what_uniform_frames_solve_needs_no_search():
    uniform = {"a": SolveRate(right=1, attempts=1), "b": SolveRate(right=0, attempts=1)}
    assert causes(rates(a=3, b=3, c=3), uniform) == ["needs no search", None, None]
    two = {"a": SolveRate(right=1, attempts=4)}
    assert causes(rates(a=3), two) == [None]
    assert causes(rates(a=3), two, uniform_rate=0.25) == ["needs no search"]


@pytest.mark.parametrize("keep", [False, True])
def test_few_attempts_say_nothing_and_a_rule_decides(keep):
    (one,) = sift([task()], {"t1": SolveRate(right=3, attempts=3)}, rules=SiftRules(least=4, keep_few=keep))
    assert (one.cause, one.kept) == ("too few attempts", keep)
    (never,) = sift([task()], {}, rules=SiftRules(keep_few=keep))
    assert (never.cause, never.kept, never.task) == ("too few attempts", keep, task())


def test_a_task_without_gold_answer_can_not_be_judged():
    (one,) = sift([replace(task(), answer=None)], rates(t1=3), rules=SiftRules(keep_few=True))
    assert (one.cause, one.kept) == ("no gold answer", False)


def test_faults_do_not_count_and_what_ended_without_an_answer_is_wrong():
    attempts = [
        trajectory(),
        trajectory(answer="C"),
        trajectory(stop="turn_limit", answer="B"),
        trajectory(stop="fault", answer=None),
        trajectory(task=task(id="another")),
    ]
    assert solve_rates([task()], attempts) == {"t1": SolveRate(right=1, attempts=3)}


def test_the_gold_answer_is_that_of_the_tasks_and_the_question_must_be_theirs():
    mended = task(value="C")
    assert solve_rates([mended], [trajectory(answer="C")]) == {"t1": SolveRate(right=1, attempts=1)}
    with pytest.raises(ValueError, match="task 't1' is at another question .'What colour.' instead of 'Why"):
        solve_rates([task(question="Why?")], [trajectory()])


def test_a_histogram_has_a_place_for_none_for_all_and_for_each_quarter_between():
    found = sift([task(id=id) for id in "abcdefg"], rates(a=0, b=1, c=2, d=3, e=7, f=8))
    assert histogram(found) == [
        ("none", 1),
        ("to 25%", 2),
        ("to 50%", 1),
        ("to 75%", 0),
        ("below 100%", 1),
        ("all", 1),
    ]


def test_rules_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="least 0"):
        SiftRules(least=0)
