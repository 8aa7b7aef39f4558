"""A judge of the embedded world says what the frames prove, and nothing that it was not shown."""

import asyncio
from dataclasses import replace

import pytest

from eva_lightning.agent.config import default_dialect
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.searcher import Searcher
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.data.synthesis.world_judge import UNKNOWN, FairReader, WorldJudge
from eva_lightning.engines.base import Context, Sampling
from eva_lightning.faults import EngineFault
from eva_lightning.records import Message
from eva_lightning.rewards.completeness import CompletenessReward
from tests.data.synthesis.told import attempts

SETTINGS = ScriptSettings(duration=(60, 90), event=(6, 14), fps=1, height=112, width=112)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return build_world(
        tmp_path_factory.mktemp("world"),
        3,
        SETTINGS,
        families=["plate_while", "mark_at"],
        per_family=3,
        open_share=0.0,
        held_out=1,
    )


@pytest.fixture(scope="module")
def made(files):
    return attempts(Searcher(files.scripts, files.tasks, default_dialect()), files.scripts, files.tasks)


def asked(question, frames):
    message = Message(role="user", parts=(*frames, f"\n{question}\nAnswer from these frames alone."))
    return Context(messages=(message,), ids=(), pixels=lambda _: None)


def test_it_answers_from_the_frames_that_a_good_attempt_was_shown_and_not_from_the_scan_alone(files, made):
    judge = WorldJudge(str(files.folder))
    for one in made:
        whole = asyncio.run(judge.write(asked(one.task.question, one.frames), Sampling()))
        assert one.task.options[one.task.letters.index(one.task.answer.value)] == whole.text
        small = [frame for frame in one.frames if frame.width < 112]
        if small:
            assert asyncio.run(judge.write(asked(one.task.question, small), Sampling())).text == UNKNOWN


def test_the_completeness_reward_takes_it_for_the_base_model(files, made):
    reward = CompletenessReward(WorldJudge(str(files.folder)), mode="all_frames")
    reward.equip(None, default_dialect(), Blind())
    lucky = [replace(one, turns=[*one.turns[:1], one.turns[-1]]) for one in made if len(one.turns) == 3]
    good, guessed = (asyncio.run(reward.scores(rows)) for rows in (made, lucky))
    assert {one.value for one in good} == {1.0}
    assert len(lucky) > 2 and {one.value for one in guessed} == {0.0}  # right, but of a scan alone


class Blind:
    """A world of which nobody reads a pixel: this judge goes by the script."""

    def reader(self, clips):
        return lambda frame: None


def test_a_question_of_another_world_is_a_fault(files, made):
    with pytest.raises(EngineFault, match="WorldJudge knows no such question"):
        asyncio.run(WorldJudge(str(files.folder)).write(asked("Why?", made[0].frames), Sampling()))


def test_an_attempt_is_proven_by_what_it_was_shown(files, made):
    reader = FairReader(files.scripts)
    assert all(reader.proves(one) for one in made)
    assert not any(reader.proves(replace(one, turns=one.turns[-1:])) for one in made)
