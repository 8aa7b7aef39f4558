"""Teachers in a loop of ten lines: the oracle is always right and thrifty, the sloppy one fails as told."""

from collections import Counter

import pytest

from eva_lightning.agent.dialects.eva import EvaDialect
from eva_lightning.data.synthesis.families import FAMILIES
from eva_lightning.data.synthesis.questions import ask
from eva_lightning.data.synthesis.reading import bracket, holes, sights
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.data.synthesis.sloppy import MISTAKES, SloppyTeacher
from eva_lightning.data.synthesis.teachers import Oracle
from eva_lightning.engines.base import Context
from eva_lightning.faults import ToolError
from eva_lightning.records import FrameRef, Message
from eva_lightning.scoring import score
from eva_lightning.video.sampling import Budget, plan

DIALECT = EvaDialect()


def shown(script, arguments, room=10**9):
    """What frame_select shows: the frames on show at the planned times."""
    start, end = arguments["start_time"], min(arguments["end_time"], script.duration)
    if not 0 <= start <= end:
        raise ToolError("wrong range")
    request = plan(
        start,
        end,
        arguments["nframes"] if end > start else 1,
        arguments["resize"],
        height=script.height,
        width=script.width,
        budget=Budget(),
        room=room,
    )
    assert request.frames_cut == 0 or room < 10**9, "a teacher asked for more than one call may cost"
    grid = [min(int(time * script.fps + 1e-6), script.duration * script.fps - 1) for time in request.times]
    return [
        FrameRef(clip=script.id, time=n / script.fps, height=request.height, width=request.width)
        for n in grid
    ]


def drive(teacher, task, script, place=0, room=10**9):
    """The conversation of a teacher with a world: its turns, and its answer."""
    messages, turns = [], []
    for _ in range(8):
        context = Context(
            messages=tuple(messages), ids=(), pixels=lambda _: None, task_id=task.id, place=place
        )
        turns.append(teacher(context))
        parsed = DIALECT.parse(turns[-1])
        if parsed.answer is not None:
            return turns, parsed.answer, context.frames
        messages.append(Message(role="assistant", parts=(turns[-1],)))
        frames = [
            frame
            for call in parsed.calls
            if call.name == "frame_select"
            for frame in shown(script, call.arguments, room)
        ]
        messages.append(Message(role="tool", parts=("<tool_response>", *frames)))
    raise AssertionError(f"no answer to {task.question!r} in 8 turns: {turns}")


SIZES = [(224, 224), (252, 448), (180, 320)]


@pytest.fixture(scope="module")
def world():
    """90 scripts of three native sizes, some of ten minutes, with all their tasks."""
    scripts, tasks = [], []
    for seed in range(90):
        height, width = SIZES[seed % 3]
        duration = (400, 600) if seed % 10 == 0 else (60, 120)
        script = write_script(seed, ScriptSettings(duration=duration, height=height, width=width))
        scripts.append(script)
        tasks += ask(script, seed, list(FAMILIES), per_family=3)
    return scripts, tasks


def pairs(world):
    scripts = {script.id: script for script in world[0]}
    return [(task, scripts[task.clips[0].id]) for task in world[1]]


def test_the_oracle_solves_every_task_of_every_family_and_proves_it(world):
    oracle = Oracle(*world, DIALECT)
    solved, rounds = Counter(), {}
    for task, script in pairs(world):
        turns, answer, frames = drive(oracle, task, script)
        assert score(task, answer).value == 1, (task, turns)
        assert "that proves it" in turns[-1]
        rounds.setdefault(task.source, set()).add(len(turns))
        solved[task.source] += 1
        if task.extra.get("listen"):
            continue
        seen = sights(frames, task, script)
        if "at" in task.extra:
            assert any(abs(sight.time - task.extra["at"]) <= 1 for sight in seen)
        if task.source == "count":
            assert not holes([sight.time for sight in seen], script.duration, oracle.shortest)
        if task.source == "when" and not task.options:
            begins, ends = bracket(task, script, seen)
            assert (list(begins), list(ends)) == tuple([int(value)] for value in task.answer.value)
    assert set(solved) == set(FAMILIES) and min(solved.values()) >= 80
    assert all(max(n) <= 4 for n in rounds.values())
    assert all(rounds[family] == {2} for family in ("colour_at", "shape_at", "mark_at", "describe", "sound"))


def test_the_oracle_uses_frames_as_large_as_the_question_needs():
    script = write_script(1)
    tasks = ask(script, 1, list(FAMILIES))
    oracle = Oracle([script], tasks, DIALECT)
    sides = {task.source: {frame.height for frame in drive(oracle, task, script)[2]} for task in tasks}
    assert sides["colour_at"] == {28}
    assert sides["shape_at"] == {56}
    assert sides["mark_at"] == sides["describe"] == {224}
    assert max(sides["count"] | sides["when"] | sides["order"]) <= 56


def test_the_oracle_never_speaks_more_than_a_few_words(world):
    oracle = Oracle(*world, DIALECT)
    for task, script in pairs(world)[:200]:
        for turn in drive(oracle, task, script)[0]:
            words = turn.split("\n")[0]
            assert words.count(". ") <= 2
            assert len(words) <= 170


def test_an_oracle_whose_frames_are_cut_looks_again_before_it_answers(world):
    """Never more than 6 frames a call: one scan of a minute no longer covers the clip."""
    oracle = Oracle(*world, DIALECT, patience=100)
    oracle_is_right = 0
    tasks = [pair for pair in pairs(world) if pair[0].source == "count" and pair[1].duration < 100][:10]
    for task, script in tasks:
        messages = []
        for _ in range(100):
            context = Context(messages=tuple(messages), ids=(), pixels=lambda _: None, task_id=task.id)
            parsed = DIALECT.parse(oracle(context))
            if parsed.answer is not None:
                break
            (call,) = parsed.calls
            frames = shown(script, {**call.arguments, "nframes": min(call.arguments["nframes"], 6)})
            messages += [Message(role="assistant", parts=("",)), Message(role="tool", parts=tuple(frames))]
        oracle_is_right += score(task, parsed.answer).value == 1
    assert oracle_is_right == len(tasks) == 10


def test_the_oracle_gives_up_with_its_best_guess_when_it_is_shown_nothing():
    script = write_script(1)
    (task,) = ask(script, 1, ["mark_at"])
    oracle = Oracle([script], [task], DIALECT, patience=3)
    said = []
    for turn in range(3):
        messages = tuple(Message(role="assistant", parts=("",)) for _ in range(turn))
        said.append(oracle(Context(messages=messages, ids=(), pixels=lambda _: None, task_id=task.id)))
    assert [DIALECT.parse(turn).answer is not None for turn in said] == [False, False, True]
    assert "best guess" in said[-1]


def test_without_a_rate_the_sloppy_teacher_is_the_oracle(world):
    oracle, sloppy = Oracle(*world, DIALECT), SloppyTeacher(*world, DIALECT, seed=1, rate=0.0)
    for task, script in pairs(world)[:100]:
        assert drive(sloppy, task, script)[0] == drive(oracle, task, script)[0]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_shows_and_costs_what_it_should(world, mistake):
    sloppy = SloppyTeacher(*world, DIALECT, seed=1, rate=1.0, mistakes=[mistake])
    oracle = Oracle(*world, DIALECT)
    scores, looks = [], []
    for task, script in pairs(world):
        if task.extra.get("listen") or (mistake == "blurred" and task.extra["read"] == ["background"]):
            continue
        turns, answer, frames = drive(sloppy, task, script)
        thrifty = drive(oracle, task, script)[2]
        scores.append(score(task, answer).correct)
        looks.append(len(frames) / len(thrifty))
        if mistake == "guess":
            assert len(turns) == 1
        if mistake == "garbled":
            assert DIALECT.parse(turns[0]).problem and "malformed" in turns[1]
        if mistake == "blurred":
            assert max(frame.height for frame in frames) <= script.height / 4
    right = sum(scores) / len(scores)
    if mistake in ("flood", "garbled"):
        assert right == 1
        assert (min(looks) > 1.5) if mistake == "flood" else (set(looks) == {1.0})
    else:
        assert 0.05 < right < 0.7, right


def test_the_sloppy_mixture_is_seeded_and_differs_between_attempts(world):
    script, tasks = world[0][1], [task for task in world[1] if task.clips[0].id == world[0][1].id]
    first = [drive(SloppyTeacher(*world, DIALECT, seed=5), t, script, p)[0] for t in tasks for p in range(4)]
    again = [drive(SloppyTeacher(*world, DIALECT, seed=5), t, script, p)[0] for t in tasks for p in range(4)]
    assert first == again
    assert len({str(turns) for turns in first}) > len(tasks)


def test_about_the_wanted_share_makes_a_mistake(world):
    sloppy = SloppyTeacher(*world, DIALECT, seed=2, rate=0.6)
    made = [
        sloppy.mistake(Context(messages=(), ids=(), pixels=lambda _: None, task_id=task.id, place=place))
        for task in world[1]
        for place in range(2)
    ]
    kinds = Counter(made)
    assert kinds.pop(None) / len(made) == pytest.approx(0.4, abs=0.05)
    assert set(kinds) == set(MISTAKES)


def test_an_unknown_task_is_a_bug_and_says_its_name():
    script = write_script(1)
    oracle = Oracle([script], ask(script, 1), DIALECT)
    with pytest.raises(KeyError, match="knows no task 'x'"):
        oracle(Context(messages=(), ids=(), pixels=lambda _: None, task_id="x"))
