"""A script is shown at the moments that are asked for, and at no other; mistakes come when wanted."""

import asyncio

import pytest

from eva_lightning.agent.worlds.noisy import FORGOTTEN, Noisy
from eva_lightning.agent.worlds.script import ClipScript, ScriptEvent
from eva_lightning.agent.worlds.script_world import ScriptWorld
from eva_lightning.faults import Fault, UsageError
from eva_lightning.files.store import write
from eva_lightning.records import Clip
from tests.making import StillWorld

KETTLE = ClipScript(
    clip="kettle",
    duration=20,
    events=(
        ScriptEvent(start=0, end=5, see="a red kettle is filled", hear="two cups, please"),
        ScriptEvent(start=9, end=20, see="steam rises", hear="a whistle"),
    ),
)
CLIP = Clip(id="kettle")
WORLD = ScriptWorld.of([KETTLE])


def tell(world, *times, clip=CLIP, focus="What is done?"):
    return asyncio.run(world.tell([world.viewing(clip, times)], focus))


def hear(world, start, end, clip=CLIP):
    return asyncio.run(world.listen(clip, start, end)).text


def test_the_length_is_all_that_is_known_before_a_look():
    facts = WORLD.describe(CLIP)
    assert (facts.duration, facts.size, facts.fps) == (20, None, None)


def test_what_no_moment_hits_stays_unseen():
    assert tell(WORLD, 1.0, 4.0) == "kettle, 1.0 to 4.0 s: a red kettle is filled"
    assert tell(WORLD, 4.0, 7.0, 12.0) == (
        "kettle, 4.0 s: a red kettle is filled\n"
        "kettle, 7.0 s: nothing to be seen\nkettle, 12.0 s: steam rises"
    )
    glimpses = asyncio.run(WORLD.look(CLIP, [1.0, 12.0], 28, 28))
    assert [(one.time, one.content) for one in glimpses] == [
        (1.0, "a red kettle is filled"),
        (12.0, "steam rises"),
    ]


def test_what_overlaps_a_range_is_heard_with_its_own_seconds():
    assert hear(WORLD, 4, 10) == "0.0 to 5.0 s: two cups, please\n9.0 to 20.0 s: a whistle"
    assert hear(WORLD, 6, 8) == ""


def test_a_clip_is_a_part_of_its_script_and_counts_from_its_own_begin():
    part = Clip(id="later", path="videos/kettle.mp4", begin=4.0, end=10.0)
    assert WORLD.describe(part).duration == 6
    assert tell(WORLD, 0.5, 5.5, 99.0, clip=part) == (
        "later, 0.5 s: a red kettle is filled\nlater, 5.5 to 6.0 s: steam rises"
    )
    assert hear(WORLD, 0, 0.5, clip=part) == "-4.0 to 1.0 s: two cups, please"


def test_moments_are_those_of_the_frames_of_the_videos_that_are_rehearsed():
    """Two frames a second: at 4.9 s the frame of 4.5 s is on show, at the end the last one, of 19.5 s."""
    world = ScriptWorld.of([KETTLE], fps=2)
    assert [one.time for one in asyncio.run(world.look(CLIP, [0.2, 4.9, 20.0], 28, 28))] == [0.0, 4.5, 19.5]


def test_a_look_costs_what_it_will_cost_where_there_are_frames():
    assert ScriptWorld.of([KETTLE], size=(56, 84)).viewing(CLIP, (1.0, 2.0)).visual_tokens == 2 * 6
    assert WORLD.viewing(CLIP, (1.0, 2.0)).visual_tokens == 0


def test_scripts_come_from_a_file_and_one_that_is_missing_is_our_fault(tmp_path):
    path = tmp_path / "scripts.jsonl"
    write(path, [KETTLE])
    world = ScriptWorld(str(path))
    assert tell(world, 1.0) == "kettle, 1.0 s: a red kettle is filled"
    with pytest.raises(Fault, match=f"no script of 'pan' in {path}"):
        world.describe(Clip(id="pan"))
    with pytest.raises(Fault, match="begins at 20 s, but its script ends at 20 s"):
        world.describe(Clip(id="kettle", begin=20.0))
    with pytest.raises(UsageError, match="fps 0"):
        ScriptWorld(str(path), fps=0.0)


LONG = ClipScript(
    clip="long",
    duration=1000,
    events=tuple(
        ScriptEvent(start=n, end=n + 1, see=f"a {('red', 'blue')[n % 2]} ball at {n}") for n in range(1000)
    ),
)
TRUE = [f"a {('red', 'blue')[n % 2]} ball at {n}" for n in range(1000)]


def lines(focus="balls", seed=0, **shares):
    shares = {"forget": 0, "paraphrase": 0, "wrong": 0} | shares
    world = Noisy(ScriptWorld.of([LONG]), seed=seed, **shares)
    said = tell(world, *(n + 0.5 for n in range(1000)), clip=Clip(id="long"), focus=focus)
    return [line.partition(": ")[2] for line in said.split("\n")]


def test_without_mistakes_it_tells_the_truth():
    assert lines() == TRUE


def test_shares_are_kept_within_three_standard_errors():
    assert abs(len(lines(forget=0.2)) - 800) < 38
    wrong = [said for said, true in zip(lines(wrong=0.1), TRUE, strict=True) if said != true]
    assert abs(len(wrong) - 100) < 29 and all("ball at" in said for said in wrong)
    worded = [said for said, true in zip(lines(paraphrase=0.3), TRUE, strict=True) if said != true]
    assert abs(len(worded) - 300) < 44 and all("ball at" in said for said in worded)


def test_mistakes_depend_on_seed_and_question_and_on_nothing_else():
    noise = {"forget": 0.2, "paraphrase": 0.3, "wrong": 0.1}
    assert lines(**noise) == lines(**noise)
    assert lines(**noise) != lines(seed=1, **noise) and lines(**noise) != lines(focus="games", **noise)


def test_who_forgets_all_says_so_and_hears_silence():
    deaf = Noisy(WORLD, forget=1)
    assert tell(deaf, 1.0) == FORGOTTEN and hear(deaf, 0, 20) == ""
    assert asyncio.run(deaf.look(CLIP, [1.0], 28, 28))[0].content == FORGOTTEN
    assert hear(Noisy(WORLD, forget=0, paraphrase=0, wrong=1), 9, 20) == "9.0 to 20.0 s: a something"


def test_noise_wants_words_and_shares():
    with pytest.raises(UsageError, match="StillWorld has none"):
        Noisy(StillWorld())
    with pytest.raises(UsageError, match="wrong 2: want a share"):
        Noisy(WORLD, wrong=2)
