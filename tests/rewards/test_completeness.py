"""Completeness: a judge who sees the frames alone must be right, too; and is never asked in vain."""

import asyncio

import numpy as np
import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.engines.base import Engine, Utterance
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.faults import EngineFault, UsageError
from eva_lightning.policy.renderer import Renderer
from eva_lightning.records import Clip, Observation, Turn
from eva_lightning.rewards.base import apply_rewards
from eva_lightning.rewards.completeness import CompletenessReward
from tests.making import StillWorld, frame, task, trajectory

DIALECT = EvaDialect()


class Judge(ScriptedEngine):
    """Answers with a letter, or with what a function makes of the context; remembers what it was asked."""

    def __init__(self, answer="<answer>B</answer>"):
        super().__init__(answer if callable(answer) else lambda context: answer)
        self.asked, self.samplings = [], []

    async def write(self, context, sampling):
        self.asked.append(context)
        self.samplings.append(sampling)
        return await super().write(context, sampling)


def look(*times):
    return Turn(text="look", observation=Observation(parts=tuple(frame(time=t) for t in times)))


def two_rounds(**fields):
    turns = [look(1.0, 2.0), look(5.0), Turn(text="<answer>B</answer>")]
    return trajectory(**{"turns": turns} | fields)


def reward(judge, **settings):
    return CompletenessReward(judge, DIALECT, StillWorld(), **settings)


def scores(rewarding, *trajectories):
    return asyncio.run(rewarding.scores(trajectories))


def values(rewarding, *trajectories):
    return [score.value for score in scores(rewarding, *trajectories)]


def times(context):
    return [seen.time for seen in context.frames]


@pytest.mark.parametrize(
    "said, value", [("<answer>B</answer>", 1.0), ("B", 1.0), ("<answer>A</answer>", 0.0)]
)
def test_right_and_the_judge_too(said, value):
    assert values(reward(Judge(said)), two_rounds()) == [value]


def test_a_wrong_answer_earns_nothing_and_costs_no_question():
    judge = Judge()
    assert values(reward(judge), two_rounds(answer="A"), two_rounds(answer=None)) == [0.0, 0.0]
    assert judge.asked == []


def test_a_right_guess_without_a_frame_earns_nothing_and_costs_no_question():
    judge = Judge()
    [score] = scores(reward(judge), trajectory(turns=[Turn(text="<answer>B</answer>")]))
    assert score.value == 0.0 and "without a frame" in score.reason and judge.asked == []


@pytest.mark.parametrize("mode, seen", [("last_round", [5.0]), ("all_frames", [1.0, 2.0, 5.0])])
def test_what_the_judge_sees(mode, seen):
    judge = Judge()
    scores(reward(judge, mode=mode), two_rounds())
    [context] = judge.asked
    assert times(context) == seen
    text = context.messages[0].text
    assert "Frame 0 at" in text and "A. red\nB. blue\nC. green" in text and "<answer>letter</answer>" in text
    assert text.index("Frame 0") < text.index("What colour?")


def test_the_last_round_is_the_last_that_found_frames():
    failed = Turn(text="look", observation=Observation(parts=("Error: past the end",), error="past the end"))
    judge = Judge()
    scores(reward(judge), trajectory(turns=[look(1.0), look(2.0), failed, Turn(text="B")]))
    assert times(judge.asked[0]) == [2.0]


def test_the_judge_can_read_the_pixels_and_is_asked_without_dice():
    read = []
    judge = Judge(lambda context: read.extend(context.pixels(seen) for seen in context.frames) or "B")
    scores(reward(judge, max_tokens=7), two_rounds())
    assert [pixels.shape for pixels in read] == [(56, 84, 3)] and read[0].dtype == np.uint8
    assert judge.samplings[0].temperature == 0.0 and judge.samplings[0].max_tokens == 7


def test_frames_of_several_clips_say_whose_they_are():
    clips = (Clip(id="left", path="l.mp4"), Clip(id="right", path="r.mp4"))
    turn = Turn(
        text="look",
        observation=Observation(parts=(frame(clip="left"), frame(clip="right"))),
    )
    judge = Judge()
    scores(reward(judge), trajectory(task=task(clips=clips), turns=[turn, Turn(text="B")]))
    text = judge.asked[0].messages[0].text
    assert "Frame 0 of left at 1.0 seconds" in text and "Frame 1 of right at 1.0 seconds" in text


@pytest.mark.parametrize("said", [DIALECT.call("frame_select", option="B"), "<tool_call>{option B", ""])
def test_a_judge_that_asks_for_more_has_not_answered(said):
    assert values(reward(Judge(said)), two_rounds()) == [0.0]


@pytest.mark.parametrize("kind, value", [("text", "blue"), ("number", 3.0), ("interval", (1.0, 2.0))])
def test_it_applies_to_questions_with_options_only(kind, value):
    judge = Judge()
    assert scores(reward(judge), two_rounds(task=task(kind=kind, value=value), answer="blue")) == [None]
    assert judge.asked == []


def test_equal_evidence_is_judged_once():
    judge = Judge()
    rewarding = reward(judge)
    assert values(rewarding, two_rounds(), two_rounds(), two_rounds(replica=3)) == [1.0] * 3
    assert len(judge.asked) == 1
    assert values(rewarding, two_rounds()) == [1.0] and len(judge.asked) == 1, "and remembered"


@pytest.mark.parametrize(
    "other",
    [
        {"turns": [look(6.0), Turn(text="B")]},
        {"task": task(question="Which hue?")},
        {"task": task(clips=(Clip(id="v", path="other.mp4"),))},
        {"task": task(clips=(Clip(id="v", path="v.mp4", begin=3.0),))},
    ],
    ids=["frames", "question", "file", "part of the file"],
)
def test_other_evidence_is_judged_by_itself(other):
    judge = Judge()
    scores(reward(judge), two_rounds(), two_rounds(**other))
    assert len(judge.asked) == 2


def test_a_judge_with_new_weights_is_asked_again():
    judge = Judge()
    rewarding = reward(judge)
    scores(rewarding, two_rounds())
    judge.policy_version += 1
    scores(rewarding, two_rounds())
    assert len(judge.asked) == 2


def test_memory_is_bounded():
    judge = Judge()
    rewarding = reward(judge, remember=1)
    first, second = two_rounds(), trajectory(turns=[look(9.0), Turn(text="B")])
    assert values(rewarding, first, second) == [1.0, 1.0]
    scores(rewarding, second)
    assert len(judge.asked) == 2, "the newest is kept"
    scores(rewarding, first)
    assert len(judge.asked) == 3, "the oldest was not"


def test_a_dead_judge_marks_the_trajectory_and_is_asked_again_later():
    def author(context):
        if not down:
            return "B"
        raise EngineFault("http://judge did not answer")

    down, judge = True, Judge(author)
    rewarding = reward(judge)
    lost, wrong = two_rounds(), two_rounds(answer="A")
    asyncio.run(apply_rewards([lost, wrong], [rewarding]))
    assert lost.stop == "fault" and lost.scores == {}
    assert lost.faults == ["reward completeness: http://judge did not answer"]
    assert wrong.scores["completeness"].value == 0.0, "needed no judge"
    down = False
    assert values(rewarding, two_rounds()) == [1.0]


def test_a_bug_in_a_judge_ends_the_run():
    def author(context):
        return 1 / 0

    with pytest.raises(ExceptionGroup) as caught:
        scores(reward(Judge(author)), two_rounds())
    assert caught.group_contains(ZeroDivisionError)


def test_questions_are_asked_at_once_up_to_a_limit_and_every_asker_has_a_seat():
    class Slow(Engine):
        now = most = seats = 0

        async def write(self, context, sampling):
            self.now += 1
            self.most = max(self.most, self.now)
            assert self.seats >= self.now
            await asyncio.sleep(0.01)
            self.now -= 1
            return Utterance(text="B")

        def seat(self):
            return Seat(self)

    class Seat:
        def __init__(self, engine):
            self.engine = engine

        def __enter__(self):
            self.engine.seats += 1

        def __exit__(self, *_):
            self.engine.seats -= 1

    judge = Slow()
    many = [trajectory(turns=[look(float(i)), Turn(text="B")]) for i in range(7)]
    assert values(reward(judge, concurrency=3), *many) == [1.0] * 7
    assert judge.most == 3 and judge.seats == 0


def test_a_judge_that_reads_tokens_gets_them(tiny_folder):
    renderer = Renderer.from_pretrained(tiny_folder)
    judge = Judge()
    judge.renderer = renderer
    assert values(reward(judge), two_rounds()) == [1.0]
    [context] = judge.asked
    assert context.ids == tuple(renderer.opening(context.messages))
    assert context.ids.count(renderer.image_token_id) == 1


def test_a_checkpoint_judges_and_is_read_when_it_is_first_asked(tiny_folder):
    from eva_lightning.engines.checkpoint_engine import CheckpointEngine

    engine = CheckpointEngine(str(tiny_folder))
    reward = CompletenessReward(engine, max_tokens=4)
    reward.equip(ScriptedEngine(lambda context: "<answer>B</answer>"), DIALECT, StillWorld())
    assert "_inner" not in vars(engine)
    (given,) = asyncio.run(reward.scores([trajectory()]))
    assert "_inner" in vars(engine)
    assert given.reason.startswith("right; judge with 2 frames: ")
    engine.close()


def test_without_a_judge_the_policy_judges_itself():
    reward = CompletenessReward()
    reward.equip(ScriptedEngine(lambda context: "<answer>B</answer>"), DIALECT, StillWorld())
    (given,) = asyncio.run(reward.scores([trajectory()]))
    assert given.value == 1.0


def test_the_engine_of_a_second_fit_is_the_judge_of_it():
    reward = CompletenessReward()
    for said, earned in (("B", 1.0), ("C", 0.0)):  # the same evidence, and both engines are at version 0
        reward.equip(ScriptedEngine(lambda context, said=said: said), DIALECT, StillWorld())
        (given,) = asyncio.run(reward.scores([trajectory()]))
        assert given.value == earned


def test_what_was_given_is_kept_whatever_is_lent():
    given, lent = ScriptedEngine(lambda context: "<answer>B</answer>"), ScriptedEngine(lambda context: "C")
    reward = CompletenessReward(given)
    for _ in range(2):
        reward.equip(lent, DIALECT, StillWorld())
        assert reward.judge is given


def test_a_reward_that_was_never_equipped_says_so():
    with pytest.raises(UsageError, match="has no judge"):
        asyncio.run(CompletenessReward().scores([trajectory()]))
