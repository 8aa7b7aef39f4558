"""Why an attempt failed, and what fails most."""

import pytest

from eva_lightning.data.mining.causes import Cluster, Failure, cause_of, clustered, failures_of, shares
from eva_lightning.records import Observation, Turn
from tests.making import frame, task, trajectory

REFUSED = Turn(text="<tool_call>{</tool_call>", observation=Observation(parts=("no",), error="not JSON"))
ANSWER = Turn(text="<answer>C</answer>")
EARLY, LATE = task(extra={"evidence": [[0, 0.5]]}), task(extra={"evidence": [[40, 50]]})


@pytest.mark.parametrize(
    ("one", "cause"),
    [
        (trajectory(), None),
        (trajectory(answer="C"), "wrong"),
        (trajectory(task=EARLY, answer="C"), "wrong"),
        (trajectory(task=LATE, answer="C"), "guessed"),  # it saw seconds 0 and 1
        (trajectory(task=LATE), "guessed"),  # right by luck
        (trajectory(turns=[ANSWER], answer="C"), "guessed"),
        (trajectory(turns=[ANSWER]), "guessed"),
        (trajectory(turns=[REFUSED, ANSWER], answer="C"), "malformed"),
        (trajectory(turns=[REFUSED, *trajectory().turns]), None),  # it recovered
        (trajectory(turns=[REFUSED], answer=None, stop="turn_limit"), "malformed"),
        (trajectory(answer=None, stop="turn_limit"), "budget exhausted"),
        (trajectory(answer=None, stop="turn_cut"), "budget exhausted"),
        (trajectory(answer=None, stop="token_limit"), "budget exhausted"),
        (trajectory(answer=None, stop="no_action"), "no answer"),
        (trajectory(answer=" "), "no answer"),
        (trajectory(answer="C", stop="fault"), None),
        (trajectory(answer=None, stop=None), None),
    ],
)
def test_an_attempt_has_one_cause_or_none(one, cause):
    assert cause_of(one) == cause


def test_attempts_at_a_task_are_one_failure_for_each_cause():
    seen = trajectory(
        answer="C", turns=[Turn(text="look", observation=Observation(parts=(frame(time=7.25),)))]
    )
    made = [seen, trajectory(answer="A", replica=1), trajectory(), trajectory(stop="no_action", answer=None)]
    wrong, silent = failures_of(made)
    assert (wrong.cause, wrong.attempts, wrong.answer, wrong.watched) == ("wrong", 2, "C", "1 frame at 7.2 s")
    assert (silent.cause, silent.attempts, silent.answer) == ("no answer", 1, "")
    assert silent.watched == "2 frames from 0.0 to 1.0 s"


def failure(name, source, cause="wrong", attempts=1):
    return Failure(task=task(id=name, source=source), cause=cause, attempts=attempts)


def test_clusters_are_by_source_and_cause_and_the_largest_comes_first():
    found = clustered(
        [
            failure("a", "count", attempts=2),
            failure("b", "when", attempts=3),
            failure("c", "count", attempts=4),
            failure("d", "count", "guessed", attempts=3),
            failure("a", "count", attempts=1),  # of a later iteration
        ]
    )
    told = [(one.source, one.cause, one.attempts, len(one.failures)) for one in found]
    assert told == [("count", "wrong", 7, 2), ("count", "guessed", 3, 1), ("when", "wrong", 3, 1)]


def test_places_are_dealt_by_attempts_and_early_ones_too():
    clusters = clustered([failure("a", "count", attempts=3), failure("b", "when", attempts=1)])
    assert [one.source for one in shares(clusters, 8)].count("when") == 2
    assert [one.source for one in shares(clusters, 4)] == ["count", "count", "when", "count"]
    assert shares([], 3) == [] and shares([Cluster(source="a", cause="wrong", failures=())], 3) == []
