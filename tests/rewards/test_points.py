"""Open answers graded point by point: (covered + correct) / (2 x points), by a judge over real HTTP."""

import asyncio
import json
from dataclasses import replace

import pytest

from eva_lightning.engines.server_engine import ServerEngine
from eva_lightning.faults import UsageError
from eva_lightning.records import Answer
from eva_lightning.rewards.accuracy import AccuracyReward
from eva_lightning.rewards.base import apply_rewards
from eva_lightning.rewards.form import FormReward
from eva_lightning.rewards.points import PointsReward
from tests.engines.test_server_engine import says, serving
from tests.making import task, trajectory

POINTS = ["one uses a fork", "one uses a spoon", "one adds salt"]
OPEN = replace(
    task(kind="text", value="fork, spoon, salt", question="How do they differ?"), extra={"points": POINTS}
)


def judging(number, body):
    """A point is made if the answer has its last word, wrongly if it has "no" before it."""
    asked = body["messages"][0]["content"]
    point, said = asked.split("Point: ")[1].split("\n\nAnswer: ")
    word, said = point.split()[-1], json.loads(said.splitlines()[0])
    verdict = "missing" if word not in said else "incorrect" if f"no {word}" in said else "correct"
    return says(json.dumps({"reason": "so it is", "verdict": verdict}))


def graded(url, *trajectories):
    reward = PointsReward(ServerEngine(url, retries=0))
    asyncio.run(apply_rewards(trajectories, [reward]))
    return [one.scores.get("points") for one in trajectories]


def said(answer, of=OPEN):
    return trajectory(task=of, answer=answer)


def test_a_point_counts_1_spoken_of_wrongly_a_half_and_missing_nothing():
    with serving(judging) as (url, asked):
        all_of_it, half, none = graded(
            url, said("a fork, a spoon and salt"), said("a fork, no spoon"), said("?")
        )
    assert [one.value for one in (all_of_it, half, none)] == [1.0, pytest.approx(1.5 / 3), 0.0]
    assert half.reason.startswith("correct, incorrect, missing (judge tiny")
    assert len(asked) == 9


def test_no_judge_is_asked_about_the_gold_answer_or_none_at_all_or_questions_without_points():
    with serving(judging) as (url, asked):
        gold, none, other = graded(url, said("fork, spoon, salt"), said(None), trajectory())
    assert (gold.value, none.value, other, asked) == (1.0, 0.0, None, [])


def test_a_judge_that_is_not_there_is_a_fault_not_a_missing_point():
    one = said("a fork")
    with serving(lambda number, body: (500, {})) as (url, _):
        graded(url, one)
    assert one.stop == "fault" and one.scores == {}


def test_points_that_are_none_are_named():
    with pytest.raises(UsageError, match="points are 'fork'"):
        PointsReward(ServerEngine("http://localhost:9"))._plainly(
            said("x", replace(OPEN, extra={"points": "fork"}))
        )


@pytest.mark.parametrize(
    ("kind", "value", "answer", "worth"),
    [
        ("order", ("2", "1", "3"), "2 -> 1 -> 3", 1.0),
        ("interval", (10.0, 20.0), "[15, 25]", 1 / 3),
        ("multi", ("A", "C"), '["A", "C"]', 1.0),
    ],
)
def test_the_reward_is_the_metric_and_a_tenth_for_form(kind, value, answer, worth):
    options = ("Video 1", "Video 2", "Video 3") if kind == "multi" else ()
    asked = replace(task(), options=options, answer=Answer(kind=kind, value=value))
    from eva_lightning.agent.dialects.eva import EvaDialect

    dialect = EvaDialect()
    one = trajectory(task=asked, answer=answer)
    one.turns = [
        replace(one.turns[-1], text=f"So it is. {dialect.reply(answer)}", calls=(), observation=None)
    ]
    asyncio.run(apply_rewards([one], [AccuracyReward(), FormReward(weight=0.1, call=0.0, dialect=dialect)]))
    assert one.scores["accuracy"].value == pytest.approx(worth)
    assert one.reward == pytest.approx(worth + 0.1)
