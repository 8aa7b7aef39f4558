"""How rewards mark a batch: scores by name, faults out, several at once."""

import asyncio

import pytest

from eva_lightning.faults import EngineFault, UsageError, VideoError
from eva_lightning.records import Score
from eva_lightning.rewards.accuracy import AccuracyReward
from eva_lightning.rewards.base import Reward, apply_rewards
from eva_lightning.rewards.format import FormatReward
from eva_lightning.rewards.rouge import RougeReward
from tests.making import task, trajectory


class Turns(Reward):
    name = "turns"

    def score(self, trajectory):
        return self.give(trajectory.rounds, "counted")


class Unreachable(Reward):
    """Fails for whoever answered C."""

    name = "unreachable"

    def score(self, trajectory):
        if trajectory.answer == "C":
            raise VideoError("v.mp4: is gone")
        return self.give(1.0, "reached")


def apply(trajectories, *rewards):
    asyncio.run(apply_rewards(trajectories, rewards))


def test_scores_by_name_and_their_weighted_sum():
    one = trajectory()
    apply([one], AccuracyReward(weight=2.0), Turns(weight=0.25))
    assert one.scores["accuracy"] == Score(value=1.0, weight=2.0, reason="chose B, gold B")
    assert one.scores["turns"] == Score(value=2.0, weight=0.25, reason="counted")
    assert one.reward == 2.5


def test_a_reward_that_does_not_apply_leaves_no_score():
    one = trajectory()
    apply([one], AccuracyReward(), RougeReward())
    assert list(one.scores) == ["accuracy"]


def test_a_fault_is_never_scored():
    bad, good = trajectory(stop="fault", answer=None, faults=["broken"]), trajectory()
    bad.scores["accuracy"] = Score(value=1.0)
    apply([bad, good], AccuracyReward())
    assert bad.scores == {} and bad.faults == ["broken"] and good.reward == 1.0


def test_a_fault_while_scoring_makes_the_trajectory_one():
    lost, kept = trajectory(answer="C"), trajectory()
    apply([lost, kept], AccuracyReward(), Unreachable(), Turns())
    assert lost.stop == "fault" and lost.scores == {}
    assert lost.faults == ["reward unreachable: v.mp4: is gone"]
    assert set(kept.scores) == {"accuracy", "unreachable", "turns"} and kept.stop == "answered"


def test_scoring_again_replaces_old_scores():
    one = trajectory()
    apply([one], AccuracyReward(), Turns())
    apply([one], AccuracyReward(weight=3.0))
    assert list(one.scores) == ["accuracy"] and one.reward == 3.0


def test_a_reward_may_look_at_all_at_once():
    class Rank(Reward):
        name = "rank"

        async def scores(self, trajectories):
            await asyncio.sleep(0)
            return [self.give(float(i), "") for i in range(len(trajectories))]

    several = [trajectory(), trajectory(stop="fault"), trajectory()]
    apply(several, Rank())
    assert [one.reward for one in several] == [0.0, 0.0, 1.0]


def test_a_bug_is_no_fault():
    class Broken(Reward):
        name = "broken"

        def score(self, trajectory):
            return self.give(1 / 0, "")

    with pytest.raises(ZeroDivisionError):
        apply([trajectory()], Broken())


def test_a_reward_must_say_something():
    class Silent(Reward):
        name = "silent"

    with pytest.raises(NotImplementedError, match="Silent must override"):
        apply([trajectory()], Silent())


def test_two_rewards_of_one_name_are_refused():
    with pytest.raises(UsageError, match="two rewards are called 'accuracy'"):
        apply([], AccuracyReward(), AccuracyReward())


def test_evas_reward_of_an_open_question():
    text = task(kind="text", value="a red circle")
    right = trajectory(task=text, answer="a red circle")
    wrong = trajectory(task=text, answer="the moon")
    apply([right, wrong], RougeReward(), FormatReward())
    assert right.reward == 1.0
    assert wrong.reward == 0.0, "making.trajectory has no call in its turns"


def test_an_engine_fault_is_a_fault():
    class Dead(Reward):
        name = "dead"

        async def scores(self, trajectories):
            return [EngineFault("http://judge did not answer") for _ in trajectories]

    one = trajectory()
    apply([one], Dead())
    assert one.stop == "fault" and "http://judge" in one.faults[0]
