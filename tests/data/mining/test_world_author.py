"""New clips of the embedded world, and questions of exactly the kinds that failed."""

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.data.mining.causes import Failure
from eva_lightning.data.mining.harvest import harvest
from eva_lightning.data.mining.world_author import WorldAuthor, settings_like
from eva_lightning.data.synthesis.script import ScriptSettings
from eva_lightning.data.synthesis.world import build_world
from eva_lightning.faults import UsageError
from tests.making import task

SMALL = ScriptSettings(duration=(30, 40), event=(6, 12), height=112, width=112, fps=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"), 2, SMALL, per_family=2)


def failed(world, family, attempts=1, options=None):
    """Failures at every task of a family, or at those with or without options."""
    tasks = [one for one in world.tasks if one.source == family]
    if options is not None:
        tasks = [one for one in tasks if bool(one.options) == options]
    assert tasks
    return [Failure(task=one, cause="wrong", attempts=attempts) for one in tasks]


def mined(author, failures, count, pool=(), seed=0, folder=None):
    seen = VideoWorld()
    if folder is not None:
        author.settle(folder, seen, EvaDialect())
    try:
        return harvest(author, failures, count, pool=pool, world=seen, seed=seed)
    finally:
        seen.close()


def test_new_tasks_are_of_the_failed_families_about_new_clips_that_can_be_watched(world, tmp_path):
    author = WorldAuthor(str(world.folder))
    failures = [*failed(world, "count", attempts=3), *failed(world, "mark_at")]
    found = mined(author, failures, 12, world.tasks, folder=tmp_path)
    sources = [one.source for one in found.tasks]
    assert len(sources) == 12 and set(sources) == {"count", "mark_at"}
    assert sources.count("count") in (8, 9, 10)  # three of four attempts failed at it
    known = {one.clips[0].path for one in world.tasks}
    assert len({one.id for one in found.tasks}) == 12
    seen = VideoWorld()
    for one in found.tasks:
        assert one.clips[0].path.startswith(f"{tmp_path}/clips/") and one.clips[0].path not in known
        facts = seen.describe(one.clips[0])
        assert 30 <= facts.duration <= 40 and (facts.height, facts.fps) == (112, 2.0)
        assert one.evidence and one.answer is not None and one.extra["mined"] == "wrong"
    seen.close()


def test_an_author_that_is_told_nothing_draws_clips_like_those_of_the_failed_tasks(world, tmp_path):
    found = mined(WorldAuthor(), failed(world, "mark_at"), 2, folder=tmp_path)
    seen = VideoWorld()
    for one in found.tasks:
        facts = seen.describe(one.clips[0])
        assert 30 <= facts.duration <= 40 and (facts.height, facts.fps) == (112, 2.0)
    seen.close()
    assert len(found.tasks) == 2


@pytest.mark.parametrize("options", [True, False])
def test_a_failed_multiple_choice_brings_multiple_choices_and_an_open_question_open_ones(
    options, world, tmp_path
):
    failures = failed(world, "when", options=options)
    found = mined(WorldAuthor(settings=SMALL), failures, 6, folder=tmp_path)
    assert {bool(one.options) for one in found.tasks} == {options}
    wanted = {tuple(one.task.extra["read"]) for one in failures}
    assert {tuple(one.extra["read"]) for one in found.tasks} <= wanted


def test_the_same_seed_writes_the_same_tasks_and_another_one_others(world, tmp_path):
    failures = failed(world, "colour_at")
    first, again, other = (
        mined(WorldAuthor(settings=SMALL), failures, 4, seed=seed, folder=tmp_path) for seed in (0, 0, 1)
    )
    assert first == again
    assert not {one.clips[0].path for one in first.tasks} & {one.clips[0].path for one in other.tasks}


def test_nothing_is_written_that_was_asked_before(world, tmp_path):
    failures = failed(world, "colour_at")
    first = mined(WorldAuthor(settings=SMALL), failures, 4, folder=tmp_path)
    again = mined(WorldAuthor(settings=SMALL), failures, 4, pool=first.tasks, folder=tmp_path)
    assert not {one.question + one.clips[0].path for one in first.tasks} & {
        one.question + one.clips[0].path for one in again.tasks
    }
    assert [one.cause for one in again.rejected].count("duplicate") == 4  # of the first try
    assert len(again.tasks) == 4  # the second one made up for them


def test_failures_of_other_data_are_told_and_bring_nothing(tmp_path):
    found = mined(WorldAuthor(), [Failure(task=task(source="lvbench"), cause="wrong")], 4, folder=tmp_path)
    assert not found.tasks
    assert {(one.cause, one.reason[:31]) for one in found.rejected} == {
        ("nothing to ask", "no failure is of a family of th")
    }


def test_an_author_that_is_stopped_renders_nothing_more(world, tmp_path):
    author = WorldAuthor(settings=SMALL)
    author.stopped = True
    assert mined(author, failed(world, "count"), 4, folder=tmp_path).tasks == ()
    assert not (tmp_path / "clips").exists()


def test_settings_are_read_off_a_world(world):
    like = settings_like(world.scripts)
    assert 30 <= like.duration[0] <= like.duration[1] <= 40
    assert like.event[0] >= 6 and like.event[1] <= 12
    assert (like.height, like.width, like.fps, like.gop) == (112, 112, 2, SMALL.gop)
    with pytest.raises(UsageError, match="a world or settings"):
        WorldAuthor(str(world.folder), SMALL)
