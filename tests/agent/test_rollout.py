"""The agent loop: every way to stop, mistakes apart from faults, ids only appended, the same seed the same
bytes.
"""

import asyncio
import threading
import time

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.agent.rollout import Agent, Job, Limits, Stopwatch, derive_seed, jobs_for, rollout
from eva_lightning.agent.tools.frame_select import FrameSelect
from eva_lightning.engines.base import Engine, Utterance
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.faults import EngineFault
from eva_lightning.files import store
from eva_lightning.policy.renderer import Renderer
from eva_lightning.records import Clip
from tests.making import StillWorld, task

DIALECT = EvaDialect()
ANSWER = DIALECT.reply("B")


def call(**arguments):
    arguments = {"start_time": 0, "end_time": 10, "nframes": 2, "resize": 0.2} | arguments
    return DIALECT.call("frame_select", **arguments)


@pytest.fixture(scope="module")
def renderer(tiny_folder):
    return Renderer.from_pretrained(tiny_folder)


def run(*turns, jobs=None, world=None, renderer=None, on_finish=None, watch=None, **limits):
    """Trajectories of an agent that says `turns`, one after the other; a text turn may be a function of the
    context.
    """

    def author(context):
        said = turns[sum(message.role == "assistant" for message in context.messages)]
        return said(context) if callable(said) else said

    agent = Agent(
        engine=ScriptedEngine(author, renderer),
        dialect=DIALECT,
        tools=[FrameSelect()],
        world=world or StillWorld(),
        limits=Limits(**limits),
    )
    return asyncio.run(rollout(jobs or [Job(task=task())], agent, on_finish=on_finish, watch=watch))


def test_look_then_answer():
    (one,) = run(call(), ANSWER)
    assert (one.stop, one.answer, one.rounds, len(one.frames)) == ("answered", "B", 2, 2)
    assert one.turns[0].observation.error is None
    assert one.turns[1].observation is None


def test_neither_call_nor_answer_stops():
    (one,) = run("I wonder.")
    assert (one.stop, one.answer) == ("no_action", None)


def test_the_last_turn_runs_no_tool():
    world = StillWorld()
    (one,) = run(call(), call(), call(), world=world, turns=3)
    assert (one.stop, one.rounds, len(world.looks)) == ("turn_limit", 3, 2)


def test_a_call_in_the_last_turn_runs_where_the_limits_say_so_and_nothing_is_written_after_it(renderer):
    world = StillWorld()
    (one,) = run(call(), call(), world=world, renderer=renderer, turns=2, last_call=True)
    assert (one.stop, one.rounds, len(world.looks)) == ("turn_limit", 2, 2)
    assert [len(turn.observation.frames) for turn in one.turns] == [2, 2]
    assert one.turns[1].observation_ids.count(renderer.image_token_id) == 2
    (cramped,) = run(call(), world=world, renderer=renderer, turns=1, last_call=True, total_tokens=300)
    assert cramped.stop == "turn_limit"


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("<tool_call>{</tool_call>", "not JSON"),
        (call(start_time=500, end_time=600), "lies outside the video"),
        (DIALECT.call("zoom", x=1), "there is no tool 'zoom'; the tools are frame_select"),
    ],
)
def test_the_model_reads_its_mistake_and_recovers(mistake, message):
    def correct(context):
        assert message in context.messages[-1].text
        return ANSWER

    (one,) = run(mistake, correct)
    assert one.stop == "answered"
    assert message in one.turns[0].observation.error and one.turns[0].observation.worked == 0
    assert one.faults == []


def test_of_two_calls_the_good_one_is_shown_and_the_bad_one_explained():
    (one,) = run(call() + call(nframes=0), ANSWER)
    assert len(one.frames) == 2 and one.turns[0].observation.worked == 1
    assert "at least 1" in one.turns[0].observation.error


def test_a_broken_video_is_a_fault_and_its_neighbours_go_on():
    broken = task(id="bad", clips=(Clip(id="v", path="broken.mp4"),))
    first, second = run(call(), ANSWER, jobs=[Job(task=broken), Job(task=task())])
    assert (first.stop, second.stop) == ("fault", "answered")
    assert first.faults == ["broken.mp4: is not a video; give another file"]
    assert first.scores == {}


def test_a_dead_engine_in_mid_trajectory_keeps_what_was_done():
    def die(context):
        raise EngineFault("http://localhost:8000 did not answer")

    (one,) = run(call(), die)
    assert (one.stop, one.rounds, len(one.frames)) == ("fault", 1, 2)


def test_a_bug_of_ours_is_no_fault_and_ends_the_run():
    with pytest.raises(ExceptionGroup) as caught:
        run(lambda context: 1 // 0)
    assert caught.group_contains(ZeroDivisionError)


def test_ids_are_only_ever_appended_and_begin_with_what_the_engine_saw(renderer):
    seen = []

    def remember(context):
        seen.append(list(context.ids))
        return call() if len(seen) < 3 else ANSWER

    (one,) = run(remember, remember, remember, renderer=renderer)
    assert len(seen) == 3
    for earlier, later in zip(seen, [*seen[1:], one.token_ids], strict=True):
        assert later[: len(earlier)] == earlier
    assert one.token_ids.count(renderer.image_token_id) == 4 == len(one.frames)
    assert one.ledger.total == len(renderer.expand(one.token_ids, one.frames))


def test_a_turn_cut_by_its_limit_stops(renderer):
    (one,) = run("so many words that never come to an end", renderer=renderer, turn_tokens=5)
    assert (one.stop, one.turns[0].cut, len(one.turns[0].token_ids)) == ("turn_cut", True, 5)


def test_a_cut_turn_that_holds_a_whole_call_goes_on_with_its_end_outside_the_loss(renderer):
    words = call()
    (one,) = run(words + " and", ANSWER, renderer=renderer, turn_tokens=renderer.count(words))
    assert one.stop == "answered"
    assert one.turns[0].observation_ids[0] == renderer.end_ids[0]


def test_frames_are_cut_whole_to_the_room_that_is_left(renderer):
    opening = run(ANSWER, renderer=renderer)[0].ledger.prompt
    (one,) = run(call(nframes=64), ANSWER, renderer=renderer, turn_tokens=100, total_tokens=opening + 700)
    observation = one.turns[0].observation
    assert one.stop == "answered"
    assert 0 < len(observation.frames) < 64
    assert len(observation.frames) + observation.frames_cut == 64
    assert one.ledger.total <= opening + 700


def test_without_room_for_a_frame_the_model_is_told_so(renderer):
    opening = run(ANSWER, renderer=renderer)[0].ledger.prompt
    (one,) = run(call(resize=1.0), ANSWER, renderer=renderer, turn_tokens=100, total_tokens=opening + 420)
    assert one.stop == "answered"
    assert "no room left" in one.turns[0].observation.error


def test_an_observation_that_does_not_fit_is_dropped_whole(renderer):
    opening = run(ANSWER, renderer=renderer)[0].ledger.prompt
    (one,) = run(call(), ANSWER, renderer=renderer, turn_tokens=100, total_tokens=opening + 110)
    assert (one.stop, one.turns[0].observation, one.turns[0].observation_ids) == ("token_limit", None, [])


def test_tools_of_different_trajectories_run_at_the_same_time():
    world = StillWorld(delay=0.2)
    watch = Stopwatch()
    run(call(), ANSWER, jobs=jobs_for([task()], replicas=4), world=world, watch=watch)
    assert watch.looking > 0.8
    assert watch.wall < 0.6


def test_every_trajectory_has_a_thread_for_its_tool():
    """Forty looks that end only when all forty have begun."""
    together = threading.Barrier(40)

    class Meeting(StillWorld):
        async def look(self, *arguments):
            await asyncio.to_thread(together.wait, timeout=10)
            return await super().look(*arguments)

    made = run(call(), ANSWER, jobs=jobs_for([task()], replicas=40), world=Meeting())
    assert [one.stop for one in made] == ["answered"] * 40


def test_decoding_overlaps_with_writing():
    """While one trajectory waits 0.3 s for its frames, the engine serves the other one."""
    looking = threading.Event()

    class Slow(StillWorld):
        async def look(self, *arguments):
            looking.set()
            await asyncio.to_thread(time.sleep, 0.3)
            looking.clear()
            return await super().look(*arguments)

    class Watching(Engine):
        wrote_meanwhile = 0

        async def write(self, context, sampling):
            await asyncio.sleep(0.05)
            self.wrote_meanwhile += looking.is_set()
            turns = sum(message.role == "assistant" for message in context.messages)
            return Utterance(text=ANSWER if context.task_id == "quick" or turns else call())

    engine = Watching()
    agent = Agent(engine=engine, dialect=DIALECT, tools=[FrameSelect()], world=Slow())
    jobs = [Job(task=task(id="slow")), *(Job(task=task(id="quick")) for _ in range(3))]
    asyncio.run(rollout(jobs, agent, concurrency=2))
    assert engine.wrote_meanwhile >= 2


def test_results_come_in_the_order_of_the_jobs_and_are_reported_as_they_finish():
    finished = []

    def author(context):
        time.sleep(0.05 if context.task_id == "t0" else 0)
        return ANSWER

    jobs = [Job(task=task(id=f"t{i}")) for i in range(4)]
    made = run(author, jobs=jobs, on_finish=lambda one: finished.append(one.task.id))
    assert [one.task.id for one in made] == ["t0", "t1", "t2", "t3"]
    assert sorted(finished) == ["t0", "t1", "t2", "t3"]


def test_seeds_depend_on_every_part_and_on_nothing_else():
    jobs = jobs_for([task(id="a"), task(id="b")], replicas=2, seed=1, step=0)
    assert len({job.seed for job in jobs}) == 4
    assert jobs[0].seed == derive_seed(1, 0, "a", 0) == 8909913736768648737
    assert derive_seed(1, 0, "a", 0) != derive_seed(1, 1, "a", 0) != derive_seed(2, 0, "a", 0)
    assert derive_seed("ab", "c") != derive_seed("a", "bc")


def test_the_same_script_gives_the_same_bytes(renderer):
    jobs = jobs_for([task()], replicas=3)
    once, again = (
        "".join(map(store.line, run(call(), ANSWER, jobs=jobs, renderer=renderer))) for _ in range(2)
    )
    assert once == again


def test_a_frame_of_a_clip_that_was_replaced_has_another_name(tmp_path):
    names = []

    def look_and_note(context):
        names.extend(map(context.name, context.frames))
        return ANSWER

    def shown(path):
        names.clear()
        run(call(), look_and_note, jobs=[Job(task=task(clips=(Clip(id="v", path=path),)))])
        return list(names)

    clip = tmp_path / "v.mp4"
    scripted, missing = shown(""), shown(str(clip))
    clip.write_bytes(b"one")
    before = shown(str(clip))
    clip.write_bytes(b"another")
    after = shown(str(clip))
    assert len({*scripted, *missing, *before, *after}) == 8
    assert after == shown(str(clip)) and all(len(name) == 16 for name in after)
